/**
 * The kind of plot that a study's figures are: groups of curves over log or linear axes. The legend is part of the
 * plot.
 */
import * as Plot from '@observablehq/plot';
import { short } from './numbers.js';
import { colorOf, svgOf } from './plots.js';

/** The width of a plot in pixels: its text can still be read when a phone shows it at three quarters of this. */
const WIDTH = 460;
const HEIGHT = 300;
/** The height of the label above the frame, which names y. */
const LABEL_HEIGHT = 28;
const TOP_LEFT = { frameAnchor: 'top-left', textAnchor: 'start', lineAnchor: 'middle' } as const;

/** How a group of curves looks: colour, and what tells it apart without colour. */
export interface Look {
  readonly color: string;
  readonly symbol?: Plot.SymbolType;
  readonly dash?: string;
}

const SYMBOLS: readonly Plot.SymbolType[] = ['circle', 'square', 'triangle', 'diamond', 'star', 'wye'];
const DASHES = [undefined, '6 3', '2 2'] as const;

/** Returns the look of a list's item: each has its colour and symbol, and past the sixth another dash. */
export const lookOf = (index: number): Look => ({
  color: colorOf(index),
  symbol: SYMBOLS[index % SYMBOLS.length]!,
  ...(index >= SYMBOLS.length && { dash: DASHES[Math.floor(index / SYMBOLS.length) % DASHES.length]! }),
});

export const STRATEGY_LOOKS = {
  scratch: { color: colorOf(0), symbol: 'circle' },
  cpt: { color: colorOf(1), symbol: 'square' },
} as const satisfies Record<string, Look>;

/** The looks of adapters of some ranks. */
export const rankLook = (ranks: readonly number[], rank: number): Look => lookOf(2 + ranks.indexOf(rank));

export interface Dot {
  readonly x: number;
  readonly y: number;
  readonly title: string;
}

/** Curves of one look: a run, or the runs of several seeds, whose mean and spread are drawn. */
export interface Group {
  readonly look: Look;
  readonly curves: readonly (readonly Dot[])[];
  /** The text at the start of the curve. */
  readonly label?: string;
}

export interface LegendEntry {
  readonly label: string;
  readonly look: Look;
  readonly as: 'dots' | 'line' | 'both';
}

export interface Axis {
  readonly label: string;
  readonly scale: 'log' | 'linear' | 'sqrt';
  readonly percent?: boolean;
  readonly zero?: boolean;
  readonly domain?: readonly [number, number];
  readonly ticks?: readonly number[];
}

export interface CurvesPlot {
  readonly x: Axis;
  readonly y: Axis;
  readonly groups: readonly Group[];
  readonly legend: readonly LegendEntry[];
  /** Marks that are drawn above the curves. */
  readonly more?: readonly Plot.Markish[];
  /** Values that the axes must reach beside those of the dots. */
  readonly reach?: readonly { readonly x?: number; readonly y?: number }[];
}

export function curvesPlot({ x, y, groups, legend, more = [], reach = [] }: CurvesPlot): string {
  const dots = groups.flatMap(({ curves }) => curves.flat());
  const key = legendMarks(legend);
  const values = (axis: 'x' | 'y') => [...dots, ...reach].flatMap(dot => dot[axis] ?? []);
  return svgOf({
    width: WIDTH,
    height: HEIGHT + key.height,
    marginLeft: 52,
    marginRight: 20,
    marginBottom: 42,
    marginTop: LABEL_HEIGHT + key.height,
    x: { ...axisOptions(x, values('x')), label: x.label, labelAnchor: 'center', labelArrow: 'none' },
    y: { ...axisOptions(y, values('y')), label: null, grid: true },
    marks: [
      Plot.text([y.label], { ...TOP_LEFT, dx: -48, dy: -14 }),
      ...(y.zero ? [Plot.ruleY([0], { strokeOpacity: 0.5 })] : []),
      ...groups.flatMap(groupMarks),
      ...more,
      ...key.marks,
    ],
  });
}

function groupMarks({ look: { color, symbol = 'circle', dash }, curves, label }: Group): Plot.Markish[] {
  const summary = meanAndSpread(curves);
  const several = curves.length > 1;
  return [
    ...(several ? [Plot.areaY(summary, { x: 'x', y1: 'low', y2: 'high', fill: color, fillOpacity: 0.18 })] : []),
    Plot.line(summary, { x: 'x', y: 'mean', stroke: color, strokeWidth: 1.6, ...(dash && { strokeDasharray: dash }) }),
    Plot.dot(curves.flat(), { x: 'x', y: 'y', fill: color, r: several ? 1.8 : 2.4, symbol, title: 'title' }),
    ...(label === undefined
      ? []
      : [Plot.text(summary.slice(0, 1), { x: 'x', y: 'mean', text: () => label, textAnchor: 'start', dx: 4, dy: -7 })]),
  ];
}

/** Returns mean and spread over the curves that have a dot at the same x. */
function meanAndSpread(curves: readonly (readonly Dot[])[]) {
  const at = new Map<number, number[]>();
  for (const { x, y } of curves.flat()) at.set(x, [...(at.get(x) ?? []), y]);
  return [...at]
    .sort(([a], [b]) => a - b)
    .map(([x, ys]) => ({
      x,
      mean: ys.reduce((sum, y) => sum + y, 0) / ys.length,
      low: Math.min(...ys),
      high: Math.max(...ys),
    }));
}

function axisOptions({ scale, percent = false, zero = false, domain, ticks }: Axis, values: readonly number[]) {
  const [low, high] = domain ?? extentOf(zero ? [...values, 0] : values, scale);
  return {
    type: scale === 'sqrt' ? ('sqrt' as const) : scale,
    domain: [low, high],
    ticks: ticks ?? (scale === 'log' && high / low > 8 ? logTicks(low, high) : evenTicks(low, high)),
    tickFormat: (value: number) => (percent ? `${Number((100 * value).toPrecision(3))}%` : short(value)),
  };
}

/** Returns the least and the largest value with a margin; around a single value it leaves some room. */
function extentOf(values: readonly number[], scale: Axis['scale']): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  if (scale === 'log') {
    const margin = low === high ? 1.2 : (high / low) ** 0.06;
    return [low / margin, high * margin];
  }
  const margin = (high - low || Math.abs(high) || 1) * 0.06;
  return [low >= 0 && low < margin ? 0 : low - margin, high === 0 ? 0 : high + margin];
}

/** Returns at most about `count` multiples of 1, 2 or 5 times a power of ten. */
export function evenTicks(low: number, high: number, count = 6): number[] {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = power * ([1, 2, 5, 10].find(factor => factor * power >= raw) ?? 10);
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  // a quotient, since a product with a step such as 0.1 would not be the nearest number
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) / (1 / step));
}

/** Returns powers of ten, with 2 and 5 times them over few decades, and every other power over many. */
function logTicks(low: number, high: number): number[] {
  const first = Math.floor(Math.log10(low));
  const last = Math.ceil(Math.log10(high));
  const decades = Math.log10(high / low);
  const factors = decades < 1.6 ? [1, 2, 5] : decades < 3 ? [1, 3] : [1];
  const every = Math.ceil(decades / 7);
  return Array.from({ length: last - first + 1 }, (_, i) => first + i)
    .filter(exponent => exponent % every === 0)
    .flatMap(exponent => factors.map(factor => factor * 10 ** exponent))
    .filter(value => value >= low && value <= high);
}

const ROW_HEIGHT = 18;
const SWATCH = 22;
/** The width of a letter at 12 px, about. */
const LETTER = 7;

/** Returns the legend above the frame, in rows that fill the width. */
function legendMarks(entries: readonly LegendEntry[]): { marks: Plot.Markish[]; height: number } {
  let left = -40;
  let row = 0;
  const placed = entries.map(entry => {
    const width = SWATCH + 6 + entry.label.length * LETTER + 14;
    if (left + width > WIDTH - 60 && left > -40) {
      left = -40;
      row++;
    }
    const place = { ...entry, dx: left, row };
    left += width;
    return place;
  });
  const height = entries.length === 0 ? 0 : (row + 1) * ROW_HEIGHT;
  const marks = placed.flatMap(({ label, look, as, dx, row }): Plot.Markish[] => {
    const at = { ...TOP_LEFT, dy: row * ROW_HEIGHT - height - LABEL_HEIGHT + 10 };
    const middle = dx + SWATCH / 2;
    return [
      ...(as === 'dots' ? [] : [lineSwatch(look, { ...at, dx: middle })]),
      ...(as === 'line'
        ? []
        : [Plot.dot([0], { ...at, dx: middle, fill: look.color, r: 3, symbol: look.symbol ?? 'circle' })]),
      Plot.text([label], { ...at, dx: dx + SWATCH + 6 }),
    ];
  });
  return { marks, height };
}

const lineSwatch = (
  { color, dash }: Look,
  at: { readonly frameAnchor: 'top-left'; readonly dx: number; readonly dy: number },
) =>
  Plot.vector([0], {
    ...at,
    length: SWATCH,
    rotate: 90,
    anchor: 'middle',
    stroke: color,
    strokeWidth: 2,
    ...(dash && { strokeDasharray: dash }),
    shape: {
      draw(context, length) {
        context.moveTo(0, 0);
        context.lineTo(0, -length);
      },
    },
  });
