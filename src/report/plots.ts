/** Plots of runs as SVG, drawn by Observable Plot into linkedom's document, without a browser. */
import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';
import { mean } from '../mean.js';
import type { Scale } from './figure.js';
import type { Forgetting, ReplayComparison } from './forgetting.js';
import { percent, short } from './numbers.js';
import { type ProbeTask, probeCurveOf } from './probes.js';
import { curveOf, type RunRecord, unitOf } from './runs.js';

/** Colours that are legible on light and on dark; the first six are safe for the colour-blind (Okabe & Ito). */
const COLORS = ['#0072b2', '#d55e00', '#009e73', '#cc79a7', '#e69f00', '#56b4e9', '#8c6d31', '#7a5bb5', '#808080'];
export const colorOf = (index: number): string => COLORS[index % COLORS.length]!;

export const FONT = 'system-ui, "Liberation Sans", Arial, sans-serif';
/** The document that plots are drawn into. */
export const { document } = parseHTML('<!doctype html><html><body></body></html>');

/** The dashes of lines, so that they differ by more than their colour; the first line is whole. */
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '12 4', '4 2 1 2 1 2'];
const dashOf = (index: number): string => DASHES[index % DASHES.length]!;
/** The shapes of dots, in the same order. */
const SYMBOLS = ['circle', 'square', 'triangle', 'diamond', 'star', 'cross'] as const;

/** The pixels of letters, which are those of notes on a page, and the width that a phone has. */
export const NARROW = { fontSize: 15, width: 360 };

/** Draws a plot in the report's style. Its name, for those who hear the page, is made of its axes if none is given. */
export function svgOf(options: Plot.PlotOptions, scale: Scale = 'wide'): string {
  const labels = [options.y?.label, options.x?.label].filter(label => typeof label === 'string');
  const svg = Plot.plot({
    ariaLabel: labels.join(' by '),
    document: document as unknown as NonNullable<Plot.PlotOptions['document']>,
    // an object, since linkedom's style cannot be set as text
    style: { fontFamily: FONT, fontSize: `${scale === 'narrow' ? NARROW.fontSize : 12}px`, background: 'none' },
    ...options,
  });
  return svg.outerHTML.replace('<svg ', '<svg role="img" ');
}

interface Row {
  readonly run: string;
  readonly x: number;
  readonly y: number;
  readonly title: string;
}

interface PlotOptions {
  readonly x: string;
  readonly y: string;
  /** What the y axis spans; by default what the rows do. */
  readonly domain?: readonly [number, number];
  /** Whether the y axis begins at 0. */
  readonly zero?: boolean;
  readonly runs: readonly string[];
  readonly dots?: boolean;
  readonly width?: number;
  readonly height?: number;
  /** A narrow plot has no labels at its lines: the page has a key below it. */
  readonly scale: Scale;
}

function draw(rows: readonly Row[], options: PlotOptions): string {
  const { x, y, domain, zero = false, runs, dots = false, scale } = options;
  const isNarrow = scale === 'narrow';
  const { width = isNarrow ? NARROW.width : 640, height = isNarrow ? 300 : 360 } = options;
  const rowsOf = (run: string) => rows.filter(row => row.run === run);
  const ends = runs.flatMap(run => rowsOf(run).slice(-1));
  const values = domain ?? [...rows.map(row => row.y), ...(zero ? [0] : [])];
  const longest = Math.max(...ends.map(({ run }) => run.length));
  const plot: Plot.PlotOptions = {
    width,
    height,
    marginLeft: 56,
    marginRight: isNarrow ? 24 : Math.min(width / 3, Math.max(96, LABEL_OFFSET + LETTER * longest)),
    marginBottom: MARGINS.bottom + (isNarrow ? 6 : 0),
    marginTop: MARGINS.top,
    x: {
      label: x,
      tickFormat: (value: number) => short(value),
      ticks: isNarrow ? 4 : 6,
      labelAnchor: 'center',
      nice: true,
    },
    y: {
      label: isNarrow ? y.replace(' per ', '/') : y,
      grid: true,
      nice: true,
      ticks: 6,
      zero,
      ...(domain && { domain }),
    },
    color: { domain: [...runs], range: runs.map((_, i) => colorOf(i)) },
    symbol: { domain: [...runs], range: runs.map((_, i) => SYMBOLS[i % SYMBOLS.length]!) },
    marks: [
      ...runs.map((run, i) =>
        Plot.line(rowsOf(run), {
          x: 'x',
          y: 'y',
          stroke: colorOf(i),
          strokeWidth: dots ? 2 : 1.25,
          strokeDasharray: dashOf(i),
        }),
      ),
      ...(dots ? [Plot.dot(rows, { x: 'x', y: 'y', fill: 'run', symbol: 'run', r: 3, title: 'title' })] : []),
      ...(isNarrow
        ? []
        : [
            Plot.text(spread(ends, values, height - MARGINS.top - MARGINS.bottom), {
              x: 'x',
              y: 'label',
              text: 'run',
              fill: 'run',
              textAnchor: 'start',
              dx: LABEL_OFFSET / 2,
              fontWeight: 600,
            }),
          ]),
    ],
  };
  return svgOf(plot, scale);
}

/** The pixels around a plot, of a letter of a label at its widest, beside a label, and from one label to the next. */
const MARGINS = { top: 28, bottom: 44 };
const LETTER = 7.5;
const LABEL_OFFSET = 16;
const LABEL_GAP = 14;
/** How much longer an axis may be than its values, since it ends at round numbers. */
const ROUNDED = 1.25;

/**
 * Moves the labels at the ends of lines apart, so that they don't cover each other: up, and down again where the
 * highest would leave the plot. `height` is that of the plot in pixels.
 */
export function spread<End extends { readonly y: number }>(
  ends: readonly End[],
  values: readonly number[],
  height: number,
): (End & { readonly label: number })[] {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const gap = (LABEL_GAP / height) * ROUNDED * (most - least);
  let last = -Infinity;
  const raised = [...ends]
    .sort((a, b) => a.y - b.y)
    .map(end => {
      last = Math.max(end.y, last + gap);
      return { ...end, label: last };
    });
  let next = Math.max(most, least + gap * (ends.length - 1));
  return raised.reverse().map(end => {
    const label = Math.min(end.label, next);
    next = label - gap;
    return { ...end, label };
  });
}

/** A probe's axis is whole, so that a handful of hits by chance looks like one. */
const ACCURACIES = [0, 1] as const;

const AXES = { tokens: 'training tokens', flops: 'training FLOPs (6·N·tokens)' } as const;

/** Draws the held-out loss of one language, all runs overlaid. */
export function heldOutPlot(
  runs: readonly RunRecord[],
  language: string,
  axis: 'tokens' | 'flops',
  scale: Scale = 'wide',
  width?: number,
): string {
  const unit = unitOf(runs);
  const rows = runs.flatMap(run =>
    curveOf(run, language, unit).map(point => ({
      run: run.config.name,
      x: point[axis],
      y: point.loss,
      title:
        `${run.config.name}\n${short(point.tokens)} tokens, ${short(point.flops)} FLOPs\n${language} loss ` +
        `${point.loss.toFixed(4)} ${unit}`,
    })),
  );
  const names = runs.map(run => run.config.name);
  return draw(rows, {
    x: AXES[axis],
    y: `${language} held-out loss (${unit})`,
    runs: names,
    dots: true,
    scale,
    ...(width && { width }),
  });
}

/** Draws the accuracy of a probe with the tokens of one language, all runs overlaid. */
export function probePlot(runs: readonly RunRecord[], language: string, task: ProbeTask, scale: Scale): string {
  const rows = runs.flatMap(run =>
    probeCurveOf(run, language, task).map(({ tokens, accuracy, loss, firstLoss }) => {
      const losses = [loss, firstLoss].map(nats => nats?.toFixed(4) ?? 'not finite');
      const title =
        `${run.config.name}\n${short(tokens)} tokens\n${task} ${accuracy.toFixed(4)}\n` +
        `loss ${losses[0]}, where nothing foretells it ${losses[1]}`;
      return { run: run.config.name, x: tokens, y: accuracy, title };
    }),
  );
  const names = runs.map(run => run.config.name);
  const y = `${task} of ${language} tokens (accuracy)`;
  return draw(rows, { x: AXES.tokens, y, domain: ACCURACIES, runs: names, dots: true, scale });
}

/** Draws how the source loss of CPT runs changed along the way. `names` are all runs of the page, for their colours. */
export function forgettingPlot(all: readonly Forgetting[], names: readonly string[], scale: Scale): string {
  const rows = all.flatMap(({ run, source, unit, replay, sourceCurve }) =>
    sourceCurve.map(({ tokens, loss }) => {
      const change = loss - sourceCurve[0]!.loss;
      const title =
        `${run.config.name}, ${percent(replay)} replay\n${short(tokens)} tokens\n${source} loss ${loss.toFixed(4)} ` +
        `${unit}, change ${change.toFixed(4)}`;
      return { run: run.config.name, x: tokens, y: change, title };
    }),
  );
  const sources = [...new Set(all.map(({ source }) => source))].join(', ');
  const y = `${sources} loss above the source model's (${all[0]!.unit})`;
  return draw(rows, { x: AXES.tokens, y, runs: names, dots: true, scale });
}

/** Draws source loss against target loss of runs that differ in replay, after the same tokens. */
export function replayPlot({ source, target, unit, tokens, effects }: ReplayComparison, scale: Scale): string {
  const points = effects.map(({ forgetting, targetLoss, sourceLoss }) => ({
    x: targetLoss,
    y: sourceLoss,
    label: percent(forgetting.replay),
    title:
      `${forgetting.run.config.name}\n${target} loss ${targetLoss.toFixed(4)} ${unit}\n${source} loss ` +
      `${sourceLoss.toFixed(4)} ${unit}`,
  }));
  const [width, height, ticks] = scale === 'narrow' ? [NARROW.width, 300, 4] : [640, 360, 6];
  const plot: Plot.PlotOptions = {
    width,
    height,
    marginLeft: 56,
    marginRight: 48,
    marginBottom: 50,
    marginTop: 28,
    x: { label: `${target} loss after ${short(tokens)} tokens (${unit})`, nice: true, ticks, labelAnchor: 'center' },
    y: { label: `${source} loss (${unit}), by share of replay`, grid: true, nice: true, ticks: 6 },
    marks: [
      Plot.line(points, { x: 'x', y: 'y', stroke: COLORS[0]!, strokeOpacity: 0.5 }),
      Plot.dot(points, { x: 'x', y: 'y', fill: COLORS[0]!, r: 4, title: 'title' }),
      Plot.text(points, { x: 'x', y: 'y', text: 'label', fill: 'currentColor', dx: 10, dy: -8, fontWeight: 600 }),
    ],
  };
  return svgOf(plot, scale);
}

type StepQuantity = 'loss' | 'gradientNorm' | 'learningRate' | 'tokensPerSecond';
const QUANTITIES: Readonly<Record<StepQuantity, string>> = {
  loss: 'training loss, smoothed (nats per token)',
  gradientNorm: 'gradient norm, before clipping',
  learningRate: 'learning rate',
  tokensPerSecond: 'tokens per second',
};

/** Draws a quantity of the steps; the loss is smoothed over a twentieth of the run. */
export function stepPlot(runs: readonly RunRecord[], quantity: StepQuantity, scale: Scale): string {
  const rows = runs.flatMap(run => {
    const steps = run.steps.filter(step => step[quantity] !== null); // what is not finite
    const values = steps.map(step => step[quantity]!);
    const window = quantity === 'loss' ? Math.max(1, Math.round(values.length / 20)) : 1;
    const smoothed = values.map((_, i) => mean(values.slice(Math.max(0, i - window + 1), i + 1)));
    return thin(steps.map((step, i) => ({ run: run.config.name, x: step.tokens, y: smoothed[i]!, title: '' })));
  });
  return draw(rows, {
    x: AXES.tokens,
    y: QUANTITIES[quantity],
    zero: quantity === 'tokensPerSecond',
    runs: runs.map(run => run.config.name),
    height: 260,
    scale,
  });
}

/** Leaves at most about 500 points: more cannot be seen. */
function thin<Item>(items: readonly Item[]): readonly Item[] {
  const every = Math.ceil(items.length / 500);
  return items.filter((_, i) => i % every === 0 || i === items.length - 1);
}
