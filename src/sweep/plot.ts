/** The figures of a sweep: held-out loss against learning rate. */
import * as Plot from '@observablehq/plot';
import { mean } from '../mean.js';
import type { Scale } from '../report/figure.js';
import { colorOf, NARROW, svgOf } from '../report/plots.js';
import { showRate } from './findings.js';
import { lossOf, type Minimum } from './minimum.js';
import { type Sweep, type SweepRate, sourceOf } from './sweep.js';

/** The points in which a parabola is drawn. */
const CURVE_POINTS = 60;

/** How far above the losses, as a share of what they span, a rate stands that has none. */
const ABOVE = 0.12;

/** Draws the loss of the language that is to be learned, with its parabola, the rate to take, and what has no loss. */
export function lossPlot({ rates, minimum }: Sweep, language: string, scale: Scale = 'wide'): string {
  const runs = rates.flatMap(({ rate, runs: each }) =>
    each.flatMap(({ name, losses }) => (losses ? [{ rate, loss: losses.end, title: titleOf(name, losses.end) }] : [])),
  );
  const { range, fit } = minimum ?? {};
  const spread = runs.map(({ loss }) => loss);
  const top = Math.max(...spread) + ABOVE * (Math.max(...spread) - Math.min(...spread));
  const lost = rates.flatMap(({ rate, loss, runs: each }) => {
    const last = each.at(-1)!;
    return loss === undefined ? [{ rate, loss: top, title: `${last.name}\n${last.state}`, state: last.state }] : [];
  });
  const marks = [
    ...(range ? [Plot.rectX([range], { x1: 'low', x2: 'high', fill: colorOf(0), fillOpacity: 0.12 })] : []),
    ...rateToTake(minimum),
    ...(fit ? [Plot.line(curveOf(fit), { x: 'rate', y: 'loss', stroke: colorOf(1), strokeDasharray: '5 3' })] : []),
    Plot.dot(lost, { x: 'rate', y: 'loss', symbol: 'times', stroke: colorOf(1), strokeWidth: 2, r: 5, title: 'title' }),
    Plot.text(lost, { x: 'rate', y: 'loss', text: 'state', fill: 'currentColor', dy: -12 }),
  ];
  return draw(rates, runs, `${language} held-out loss (nats per token)`, marks, scale);
}

/** Returns the sweep with the rates of the fit alone, for a figure of them; undefined where these are all. */
export function closeUp(sweep: Sweep): Sweep | undefined {
  const near = sweep.minimum?.fit?.rates;
  if (!near || near.length === sweep.rates.length) return undefined;
  return { ...sweep, rates: sweep.rates.filter(({ rate }) => near.includes(rate)) };
}

/** Draws the loss of a CPT run's source language, and where it began. */
export function sourcePlot(sweep: Sweep, scale: Scale = 'wide'): string | undefined {
  const { rates, minimum } = sweep;
  const source = sourceOf(sweep);
  if (!source) return undefined;
  const runs = rates.flatMap(({ rate, runs: each }) =>
    each.flatMap(({ name, losses }) =>
      losses?.source ? [{ rate, loss: losses.source.end, title: titleOf(name, losses.source.end) }] : [],
    ),
  );
  const marks = [
    ...rateToTake(minimum),
    Plot.ruleY([source.start], { stroke: colorOf(2), strokeDasharray: '2 3' }),
    Plot.text([source.start], { y: d => d, text: () => 'source model', frameAnchor: 'left', dx: 6, dy: -8 }),
  ];
  return draw(rates, runs, `${source.language} held-out loss (nats per token)`, marks, scale);
}

const rateToTake = (minimum: Minimum | undefined) =>
  minimum ? [Plot.ruleX([minimum.rate], { stroke: colorOf(0), strokeDasharray: '4 3' })] : [];

const titleOf = (name: string, loss: number): string => `${name}\nloss ${loss.toFixed(4)} nats per token`;

interface RunPoint {
  readonly rate: number;
  readonly loss: number;
  readonly title: string;
}

function draw(
  rates: readonly SweepRate[],
  runs: readonly RunPoint[],
  label: string,
  marks: Plot.Markish[],
  scale: Scale,
): string {
  const isNarrow = scale === 'narrow';
  const means = [...new Set(runs.map(({ rate }) => rate))].map(rate => {
    const losses = runs.filter(run => run.rate === rate).map(({ loss }) => loss);
    return { rate, loss: mean(losses) };
  });
  const all = rates.map(({ rate }) => rate);
  return svgOf(
    {
      width: isNarrow ? NARROW.width : 640,
      height: isNarrow ? 300 : 360,
      marginLeft: 60,
      marginRight: 28,
      marginTop: 32,
      marginBottom: isNarrow ? 50 : 44,
      x: { type: 'log', label: 'learning rate' },
      y: { label: isNarrow ? label.replace(' per ', '/') : label, grid: true, nice: true, ticks: 6 },
      marks: [
        // an axis of its own: that of a log scale leaves out labels between powers of ten
        Plot.axisX(isNarrow ? all.filter((_, i) => i % 2 === 0) : all, {
          text: showRate,
          label: 'learning rate',
          labelAnchor: 'center',
        }),
        ...marks,
        Plot.line(means, { x: 'rate', y: 'loss', stroke: colorOf(0), strokeWidth: 2 }),
        Plot.dot(runs, { x: 'rate', y: 'loss', fill: colorOf(0), r: 4, title: 'title' }),
      ],
    },
    scale,
  );
}

function curveOf({ parabola, rates }: NonNullable<Minimum['fit']>): { rate: number; loss: number }[] {
  const [first, last] = [Math.log(rates[0]!), Math.log(rates.at(-1)!)];
  return Array.from({ length: CURVE_POINTS + 1 }, (_, i) => {
    const rate = Math.exp(first + ((last - first) * i) / CURVE_POINTS);
    return { rate, loss: lossOf(parabola, rate) };
  });
}
