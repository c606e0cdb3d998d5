/** The benchmark's page: self-contained HTML, its plots drawn without a browser. */
import { showLanes } from '../src/gpu/adapters.js';
import { median } from '../src/median.js';
import {
  atScales,
  contentsHtml,
  escapeHtml,
  figure,
  footerHtml,
  type Section,
  scrolled,
  sectionsHtml,
  table,
} from '../src/report/html.js';
import { short } from '../src/report/numbers.js';
import { colorOf } from '../src/report/plots.js';
import { STYLE } from '../src/report/style.js';
import { OURS, PYTORCH } from './engines/engines.js';
import { enginePlot, rooflineKinds, rooflinePlot } from './plots.js';
import type { BenchmarkResult, GpuResults, PeerResults, PeerWork } from './result.js';
import {
  BAR_HEAD,
  barRow,
  GPU_HEAD,
  gpuNotes,
  gpuRows,
  PART_HEAD,
  PEER_HEAD,
  partRows,
  peerRow,
  STEP_HEAD,
  stepRow,
  WORK_HEAD,
  workRow,
} from './table.js';

const MORE_STYLE = `
.warning { padding: .6rem 1rem; border-left: 4px solid #d55e00; background: var(--panel); }
.reached { color: #009e73; font-weight: 600; } .missed { color: #d55e00; font-weight: 600; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: .5rem 0; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
.text { display: inline-block; white-space: normal; min-width: 11em; max-width: 34em; text-align: left; }
figure h3 { margin: .2rem 0 .4rem; }
`;

export function benchmarkPage(result: BenchmarkResult, made?: string): string {
  const { machine, gpu, peers, steps, bars } = result;
  const title = `Benchmark on ${machine.adapter.name}`;
  const warning = softwareNote(result);
  const sections: Section[] = [
    ...(bars.length > 0
      ? [{ id: 'bars', title: 'What was to be reached', html: htmlTable('Bars', BAR_HEAD, bars.map(barRow)) }]
      : []),
    ...(gpu ? [{ id: 'gpu', title: 'Shipped, tuned, and PyTorch', html: gpuHtml(gpu) }] : []),
    ...(peers ? [{ id: 'peers', title: 'Against other engines', html: peersHtml(peers) }] : []),
    { id: 'kernels', title: "Kernels against the adapter's ceilings", html: kernelsHtml(result) },
    ...(steps.length > 0
      ? [{ id: 'steps', title: 'Training steps', html: htmlTable('Training steps', STEP_HEAD, steps.map(stepRow)) }]
      : []),
  ];
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}${MORE_STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${machineList(result)}
${warning ? `<p class="warning">${escapeHtml(warning)}</p>` : ''}
${contentsHtml(sections)}
${sectionsHtml(sections)}
${result.skipped.map(reason => `<p class="note">Skipped: ${escapeHtml(reason)}</p>`).join('\n')}
<p class="note">Every result was compared with float64, and every peer's losses with ours, before anything was timed. Times are medians of samples from interleaved rounds; IQR is the distance of the quartiles over the median.</p>${footerHtml(made)}
</body>
</html>
`;
}

/** The roofline beside the table of its works. */
function kernelsHtml(result: BenchmarkResult): string {
  const plot = atScales(scale => rooflinePlot(result.samples, scale));
  return `<p class="note">Each dot is a work, at the FLOPs it does for a byte that it cannot but move. The lines are what this adapter gave in the same run: a loop of multiply-adds in registers (level) and a copy (slanted). Point at a dot for its numbers.</p>
<div class="beside">${figure(`${plot}<p class="note">${rooflineKey(result)}</p>`)}
${htmlTable('Kernels', WORK_HEAD, result.summary.map(workRow))}</div>`;
}

/** On a software adapter: what a reader must know first. */
export function softwareNote({ machine, peers }: BenchmarkResult): string | undefined {
  if (machine.adapter.kind === 'hardware') return undefined;
  const step = peers?.works.find(({ kind }) => kind === 'step');
  const speeds = [PYTORCH, OURS].map(name => {
    const row = step?.rows.find(({ engine }) => engine === name);
    return step?.tokens && row && row.wall.length > 0 ? (1000 * step.tokens) / median(row.wall) : undefined;
  });
  const measured =
    speeds[0] && speeds[1]
      ? ` In this run PyTorch on the CPU trained at ${speeds[0].toFixed(0)} tokens/s, babelgrad at ${speeds[1].toFixed(0)}.`
      : '';
  return `This is a software adapter: it runs shaders on the CPU. Where a CPU is all there is, a native CPU framework is faster.${measured}`;
}

const rooflineKey = ({ samples }: BenchmarkResult): string =>
  rooflineKinds(samples)
    .map((kind, i) => `<span class="key" style="background:${colorOf(i)}"></span>${escapeHtml(kind)}`)
    .join(' &emsp;');

function machineList({ machine }: BenchmarkResult): string {
  const rows: readonly [string, string][] = [
    ['when', machine.date],
    ['adapter', `${machine.adapter.name}, ${machine.adapter.driver} (${machine.adapter.kind})`],
    ['subgroups', showLanes(machine.adapter.subgroupSizes)],
    ['machine', `${machine.cpu}, ${machine.threads} threads, ${short(machine.memoryBytes)}B, Linux ${machine.kernel}`],
    ['load at the end', machine.load.map(value => value.toFixed(1)).join(', ')],
    [
      'versions',
      Object.entries({ node: machine.node, ...machine.versions })
        .map(pair => pair.join(' '))
        .join(', '),
    ],
  ];
  return `<dl>${rows.map(([term, text]) => `<dt>${term}</dt><dd>${escapeHtml(text)}</dd>`).join('')}</dl>`;
}

/** The notes, and the works beside the parts of the run. */
const gpuHtml = (gpu: GpuResults): string => `${gpuNotes(gpu)
  .map(note => `<p class="note">${escapeHtml(note)}</p>`)
  .join('\n')}
<div class="beside">${htmlTable('Works', GPU_HEAD, gpuRows(gpu))}
${htmlTable('Parts', PART_HEAD, partRows(gpu))}</div>`;

function peersHtml(peers: PeerResults): string {
  const engines = peers.engines.map(({ name, version, device, note, handicap, missing }) => [
    name,
    missing ?? [version, device, note, handicap].filter(Boolean).join('; '),
  ]);
  const plots = peers.works.map(work =>
    figure(`<h3>${escapeHtml(work.name)}</h3>${atScales(scale => enginePlot(work, scale))}`),
  );
  return `<p class="note">Bars are medians, the lines on them reach from quartile to quartile; longer is faster.</p>
<div class="plots">${plots.join('\n')}</div>
${htmlTable('Speeds', [...PEER_HEAD, 'check'], peers.works.flatMap(peerRows))}
${htmlTable('Engines', ['engine', 'what it is'], engines)}`;
}

const peerRows = (work: PeerWork): string[][] => work.rows.map(row => [...peerRow(work, row), row.check ?? '']);

const CLASSES: Readonly<Record<string, string>> = { reached: 'reached', 'NOT reached': 'missed' };

/** A table in which long cells may wrap. */
function htmlTable(name: string, head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = rows.map(row =>
    row.map(cell => {
      const look = CLASSES[cell] ?? (cell.length > 30 ? 'text' : '');
      return look ? `<span class="${look}">${escapeHtml(cell)}</span>` : escapeHtml(cell);
    }),
  );
  return scrolled(table(head, cells), name);
}
