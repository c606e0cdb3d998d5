/** The benchmark's results for the terminal. */
import { figures, percent, short } from '../src/report/numbers.js';
import { spreadOf } from './measure.js';
import type { Bar, GpuResults, PeerRow, PeerWork, StepResult, WorkSummary } from './result.js';
import type { StepCosts } from './works/step.js';

export const WORK_HEAD = ['work', 'rate', 'of ceiling', 'ms', 'GPU ms', 'IQR', 'samples'];

export const workRow = (work: WorkSummary): string[] => [
  work.name,
  `${figures(work.rate)} ${work.unit}`,
  work.share === undefined ? '' : work.share.toFixed(2),
  figures(work.milliseconds),
  work.gpuMilliseconds === undefined ? 'no timestamps' : figures(work.gpuMilliseconds),
  percent(work.iqr),
  String(work.samples),
];

export const STEP_HEAD = [
  'step',
  'tokens/s',
  'parameters',
  'dispatches',
  'submits',
  'buffers after step 2',
  'peak MB',
  'submit ms',
  'host',
];

export const stepRow = (step: StepResult): string[] => [
  step.name,
  step.tokensPerSecond.toFixed(0),
  short(step.parameters),
  String(step.costs.dispatches),
  String(step.costs.submits),
  String(step.costs.buffersAfterStep2),
  (step.costs.peakBytes / 1e6).toFixed(0),
  step.submitMilliseconds.toFixed(1),
  step.hostShare === undefined ? '' : `${(100 * step.hostShare).toFixed(1)}%`,
];

export const BAR_HEAD = ['bar', 'verdict', 'measured', 'asked'];

export const barRow = ({ what, bar, measured, reached }: Bar): string[] => [
  what,
  reached === undefined ? 'not measured' : reached ? 'reached' : 'NOT reached',
  measured,
  bar,
];

export const GPU_HEAD = [
  'work',
  'engine',
  'speed',
  'ms',
  'IQR',
  'of PyTorch',
  'of peak',
  'tokens/s',
  'peak MB',
  'note',
];

/** The rows of `bench gpu`; what is set against PyTorch is set against its fastest on the same work. */
export const gpuRows = ({ rows, peak }: GpuResults): string[][] =>
  rows.map(row => {
    const { work, engine, wall, refused, rate, precision, tokens, peakBytes } = row;
    if (wall.length === 0) return [work, engine, '–', '–', '–', '', '', '', '', firstLine(refused ?? 'no samples')];
    const { median, iqr } = spreadOf(wall);
    const speed = row[rate!]! / median / 1e6;
    const peers = rows.filter(other => other.work === work && isPyTorch(other) && other.wall.length > 0);
    const best = Math.min(...peers.map(other => spreadOf(other.wall).median));
    return [
      work,
      engine,
      `${figures(speed)} ${rate === 'flops' ? 'GFLOP/s' : 'GB/s'}`,
      figures(median),
      percent(iqr),
      isPyTorch(row) || peers.length === 0 ? '' : (best / median).toFixed(2),
      rate === 'flops' && peak ? percent(speed / peak.flops[precision!]) : '',
      tokens ? ((1000 * tokens) / median).toFixed(0) : '',
      peakBytes ? figures(peakBytes / 1e6) : '',
      '',
    ];
  });

const isPyTorch = ({ engine }: { readonly engine: string }): boolean => engine.startsWith('PyTorch');

export const PART_HEAD = ['part', 'state', 's', 'note'];

export const partRows = ({ parts, unfinished }: GpuResults): string[][] => [
  ...parts.map(({ name, state, seconds, reason }) => [name, state, seconds.toFixed(0), firstLine(reason ?? '')]),
  ...unfinished.map(name => [name, 'not run', '', '']),
];

/** What a reader of the table must know. */
export function gpuNotes({ audit, torch, peak }: GpuResults): string[] {
  return [
    ...(audit
      ? [`audit of ${audit.of.join(', ')}: ${audit.passed} checks passed, ${audit.failed} failed`]
      : ['the audit has not ended']),
    `PyTorch: ${torch}`,
    ...(peak
      ? [
          `of peak: of ${figures(peak.flops.f32)} GFLOP/s in f32 and ${figures(peak.flops.f16)} in f16, by ${peak.source}; of a step this is its MFU`,
        ]
      : []),
  ];
}

export const PEER_HEAD = ['work', 'engine', 'speed', 'ms', 'IQR', 'samples', 'note'];

/** An engine without a speed says why; of a training step the note tells what it asks of the device. */
export function peerRow(work: PeerWork, { engine, wall, refused, costs }: PeerRow): string[] {
  if (wall.length === 0) return [work.name, engine, '–', '–', '–', '0', firstLine(refused ?? 'no samples')];
  const { median, iqr } = spreadOf(wall);
  const speed = work.tokens
    ? `${((1000 * work.tokens) / median).toFixed(0)} tokens/s`
    : `${figures(work[work.rate] / median / 1e6)} ${work.rate === 'flops' ? 'GFLOP/s' : 'GB/s'}`;
  return [work.name, engine, speed, figures(median), percent(iqr), String(wall.length), costs ? costNote(costs) : ''];
}

const costNote = ({ dispatches, submits, buffersAfterStep2, peakBytes }: Partial<StepCosts>): string =>
  `${dispatches} dispatches, ${submits} submits, ${buffersAfterStep2} new buffers, peak ${figures((peakBytes ?? 0) / 1e6)} MB`;

const firstLine = (text: string): string => text.split('\n')[0]!;
