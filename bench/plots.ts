/** Plots of the benchmark as SVG. */
import * as Plot from '@observablehq/plot';
import type { Scale } from '../src/report/figure.js';
import { short } from '../src/report/numbers.js';
import { colorOf, NARROW, svgOf } from '../src/report/plots.js';
import { OURS } from './engines/engines.js';
import { type Samples, spreadOf } from './measure.js';
import type { PeerWork } from './result.js';
import { ceilingsOf, rateAt } from './summary.js';

/** How much is shown where an engine has no speed; its table row has the whole reason. */
const REASON_LETTERS: Readonly<Record<Scale, number>> = { wide: 44, narrow: 26 };

/** Speed of every engine on one work: GFLOP/s, GB/s or tokens/s, with the quartiles. */
export function enginePlot(work: PeerWork, scale: Scale): string {
  const [amount, unit] = work.tokens
    ? [1000 * work.tokens, 'tokens/s']
    : [work[work.rate] / 1e6, work.rate === 'flops' ? 'GFLOP/s' : 'GB/s'];
  const rows = work.rows.map(({ engine, wall, refused }) => {
    if (wall.length === 0)
      return { engine, speed: 0, reason: ` ${(refused ?? 'no samples').slice(0, REASON_LETTERS[scale])}` };
    const { median, low, high } = spreadOf(wall);
    return { engine, speed: amount / median, low: amount / high, high: amount / low };
  });
  const timed = rows.filter(row => row.low !== undefined);
  const isNarrow = scale === 'narrow';
  return svgOf(
    {
      ariaLabel: `${work.name}, ${unit} by engine`,
      width: isNarrow ? NARROW.width : 460,
      height: 64 + 34 * rows.length,
      marginBottom: 44,
      marginLeft: isNarrow ? 132 : 112,
      marginRight: 64,
      x: {
        label: unit,
        labelAnchor: 'center',
        nice: true,
        ticks: isNarrow ? 3 : 5,
        zero: true,
        grid: true,
        tickFormat: short,
      },
      y: { label: null, domain: rows.map(({ engine }) => engine) },
      marks: [
        Plot.barX(rows, {
          x: 'speed',
          y: 'engine',
          fill: row => colorOf(row.engine === OURS ? 0 : 5),
          insetTop: 4,
          insetBottom: 4,
        }),
        Plot.ruleY(timed, { x1: 'low', x2: 'high', y: 'engine', stroke: 'currentColor', strokeWidth: 2 }),
        Plot.text(timed, {
          x: 'high',
          y: 'engine',
          text: row => short(row.speed),
          textAnchor: 'start',
          dx: 6,
          fill: 'currentColor',
        }),
        Plot.text(
          rows.filter(row => row.reason),
          { x: () => 0, y: 'engine', text: 'reason', textAnchor: 'start', fill: 'currentColor', fontStyle: 'italic' },
        ),
      ],
    },
    scale,
  );
}

/** FLOP/s of the works over the FLOPs that they do for a byte, under the measured ceilings (Williams et al., 2009). */
export function rooflinePlot(samples: readonly Samples[], scale: Scale): string {
  const ceilings = ceilingsOf(samples);
  const works = samples
    .filter(({ kind }) => kind !== 'ceiling')
    .map(sample => ({
      name: sample.name,
      kind: groupOf(sample),
      intensity: sample.flops / sample.bytes,
      gflops: sample.flops / spreadOf(sample.wall).median / 1e6,
      title: `${sample.name}\n${short(rateAt(sample, sample.wall))} ${sample.rate === 'flops' ? 'GFLOP/s' : 'GB/s'}`,
    }));
  const kinds = rooflineKinds(samples);
  const intensities = works.map(({ intensity }) => intensity);
  const from = Math.min(0.5, ...intensities) / 2;
  const to = 2 * Math.max(...intensities, 64);
  const ridge = ceilings ? ceilings.flops / ceilings.bytes : 1;
  const roof = ceilings
    ? [...new Set([from, Math.min(Math.max(ridge, from), to), to])].map(intensity => ({
        intensity,
        gflops: Math.min(ceilings.flops, ceilings.bytes * intensity),
      }))
    : [];
  const isNarrow = scale === 'narrow';
  return svgOf(
    {
      width: isNarrow ? NARROW.width : 640,
      height: isNarrow ? 340 : 420,
      marginLeft: 56,
      marginRight: 24,
      marginBottom: 44,
      marginTop: 28,
      x: { type: 'log', label: 'FLOPs per byte', labelAnchor: 'center', tickFormat: short, ticks: 6 },
      y: { type: 'log', label: 'GFLOP/s', tickFormat: short, grid: true, ticks: 6 },
      color: { domain: kinds, range: kinds.map((_, i) => colorOf(i)), legend: false },
      marks: [
        Plot.line(roof, { x: 'intensity', y: 'gflops', stroke: 'currentColor', strokeWidth: 1.5 }),
        ...(ceilings
          ? [
              Plot.text([roof.at(-1)!], {
                x: 'intensity',
                y: 'gflops',
                text: () => `${short(ceilings.flops)} GFLOP/s, ${short(ceilings.bytes)} GB/s`,
                textAnchor: 'end',
                dy: -9,
                fill: 'currentColor',
              }),
            ]
          : []),
        Plot.dot(works, { x: 'intensity', y: 'gflops', fill: 'kind', r: 4, title: 'title' }),
      ],
    },
    scale,
  );
}

/** What a dot's work is called beside the plot: its name's first word. */
const groupOf = ({ kind }: Samples): string => kind.split(' ')[0]!;

/** The roofline's colours, in order. */
export const rooflineKinds = (samples: readonly Samples[]): string[] => [
  ...new Set(samples.filter(({ kind }) => kind !== 'ceiling').map(groupOf)),
];
