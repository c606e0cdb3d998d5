/** Bootstrap: how far a fit is to be trusted, from the same fit to many resamples of the points. */
import { Random } from '../random.js';
import { figure } from './figure.js';
import { fitFrom, randomStarts } from './fit.js';
import type { LawParameters } from './law.js';
import type { LossPoint, Problem } from './objective.js';

/** What is drawn with replacement: rows, or whole runs, since the points of a run share its luck. */
export type Resampling = 'rows' | 'runs';

export interface BootstrapOptions {
  readonly replicates: number;
  readonly seed: number;
  readonly resample: Resampling;
}

/** A point that may name its run. */
export type RunPoint = LossPoint & { readonly run?: string };

/**
 * The number of random starts of each replicate. Where the points leave a direction undetermined, replicates end all
 * along it, as far as the box of starts reaches, and the interval shows it.
 */
export const STARTS = 3;

/**
 * Returns the law fitted to each resample. `problemOf` gives the problem of replicate r: in a CPT fit it holds the
 * scratch law of replicate r.
 */
export function bootstrapLaws(
  points: readonly RunPoint[],
  problemOf: (replicate: number) => Problem,
  { replicates, seed, resample }: BootstrapOptions,
  onDone?: () => void,
): LawParameters[] {
  return Array.from({ length: replicates }, (_, r) => {
    const random = new Random(seed, 'bootstrap', r);
    const drawn = drawUsable(points, resample, random);
    const problem = problemOf(r);
    return fitFrom(drawn, problem, randomStarts(drawn, problem, STARTS, random), onDone).law;
  });
}

/** Draws again until there are two sizes, without which no law can be fitted. */
function drawUsable(points: readonly RunPoint[], resample: Resampling, random: Random): RunPoint[] {
  for (let attempt = 0; attempt < 100; attempt++) {
    const drawn = draw(points, resample, random);
    if (drawn.some(({ parameters }) => parameters !== drawn[0]!.parameters)) return drawn;
  }
  return [...points];
}

/** Draws as many rows, or as many runs, as there are, with replacement. */
export function draw<P extends { readonly run?: string }>(
  points: readonly P[],
  resample: Resampling,
  random: Random,
): P[] {
  if (resample === 'rows') return points.map(() => points[random.integer(points.length)]!);
  const names = [...new Set(points.map(({ run }) => run))];
  return names.flatMap(() => {
    const name = names[random.integer(names.length)];
    return points.filter(({ run }) => run === name);
  });
}

/**
 * Says which estimates lie outside their intervals. Percentile intervals allow this: resamples repeat some points and
 * miss others, and where few points decide, refits end elsewhere than the fit to all points does.
 */
export function outsideIntervals(
  estimates: Readonly<Record<string, number>>,
  intervals: Readonly<Record<string, readonly [number, number] | null>>,
): string[] {
  const outside = Object.entries(estimates).flatMap(([name, value]) => {
    const [low, high] = intervals[name] ?? [value, value];
    // points without noise have intervals that are as narrow as rounding
    const rounding = 1e-3 * Math.abs(value);
    return value < low - rounding || value > high + rounding
      ? [`${name} ${figure(value)} (${figure(low)} to ${figure(high)})`]
      : [];
  });
  return outside.length === 0
    ? []
    : [
        `outside its interval: ${outside.join(', ')}; refits to resampled points end elsewhere than the fit to ` +
          'all of them, ' +
          'so that few points decide it, or none do',
      ];
}

/** Returns the middle 95% (or `level`) of the values that are numbers; undefined where there are none. */
export function interval(values: readonly number[], level = 0.95): [low: number, high: number] | undefined {
  const sorted = values.filter(value => Number.isFinite(value)).sort((a, b) => a - b);
  if (sorted.length === 0) return undefined;
  const at = (share: number) => {
    const place = share * (sorted.length - 1);
    const below = Math.floor(place);
    const above = Math.min(below + 1, sorted.length - 1);
    return sorted[below]! + (place - below) * (sorted[above]! - sorted[below]!);
  };
  return [at((1 - level) / 2), at((1 + level) / 2)];
}
