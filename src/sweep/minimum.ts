/** The best learning rate of a sweep: the lowest point of a parabola in the logarithm of the rate. */
import { mean } from '../mean.js';
import { bestOf, type TriedRate } from './rates.js';

/** A rate with the losses of its runs, one a seed. */
export interface RateLosses extends TriedRate {
  readonly losses: readonly number[];
}

/** loss = lowest + curvature (ln rate - ln `rate`)², through three points. */
export interface Parabola {
  readonly rate: number;
  readonly lowest: number;
  readonly curvature: number;
}

/** The best rate, as far as it is known. */
export interface Minimum {
  /** The rate to take. */
  readonly rate: number;
  /** The loss there: of the parabola, or measured where there is none. */
  readonly loss: number;
  /** The parabola, and the three rates it goes through; undefined where the best has no neighbour on both sides. */
  readonly fit?: { readonly parabola: Parabola; readonly rates: readonly number[] };
  /** The standard error of the loss at a rate, from seeds; undefined with one seed. */
  readonly noise?: number;
  /** The rates whose loss lies within two standard errors of the lowest; within the three rates of the fit. */
  readonly range?: { readonly low: number; readonly high: number; readonly isOpen: boolean };
}

/** Returns the minimum of what was tried; undefined where no run has a loss. */
export function findMinimum(tried: readonly RateLosses[]): Minimum | undefined {
  const sorted = [...tried].sort((a, b) => a.rate - b.rate);
  const best = bestOf(sorted);
  if (!best) return undefined;
  const at = sorted.indexOf(best);
  const three = sorted.slice(Math.max(0, at - 1), at + 2).filter(({ loss }) => loss !== undefined);
  const parabola = three.length === 3 ? parabolaThrough(three) : undefined;
  if (!parabola) return { rate: best.rate, loss: best.loss! };
  const noise = standardError(three);
  const fit = { parabola, rates: three.map(({ rate }) => rate) };
  const found = { rate: Number(parabola.rate.toPrecision(3)), loss: parabola.lowest, fit };
  return noise === undefined ? found : { ...found, noise, range: rangeWithin(2 * noise, fit) };
}

/** Returns the parabola through three points; undefined where they lie on a line, or have no lowest point. */
export function parabolaThrough(points: readonly TriedRate[]): Parabola | undefined {
  const [a, b, c] = points.map(({ rate, loss }) => ({ x: Math.log(rate), y: loss! })) as [Point, Point, Point];
  const left = slope(a, b);
  const curvature = (slope(b, c) - left) / (c.x - a.x);
  if (!(curvature > 0)) return undefined;
  const x = (a.x + b.x) / 2 - left / (2 * curvature);
  return { rate: Math.exp(x), lowest: b.y - curvature * (b.x - x) ** 2, curvature };
}

interface Point {
  readonly x: number;
  readonly y: number;
}

const slope = (a: Point, b: Point): number => (b.y - a.y) / (b.x - a.x);

/** Returns the loss of a parabola at a rate. */
export const lossOf = ({ rate: best, lowest, curvature }: Parabola, rate: number): number =>
  lowest + curvature * Math.log(rate / best) ** 2;

/**
 * Returns the standard error of the mean loss at a rate: the spread among the seeds of a rate, pooled over the rates.
 * Undefined where a rate has one seed.
 */
function standardError(rates: readonly RateLosses[]): number | undefined {
  const seeds = Math.min(...rates.map(({ losses }) => losses.length));
  if (seeds < 2) return undefined;
  const variances = rates.map(({ losses }) => {
    const middle = mean(losses);
    return losses.reduce((sum, loss) => sum + (loss - middle) ** 2, 0) / (losses.length - 1);
  });
  return Math.sqrt(mean(variances) / seeds);
}

function rangeWithin(height: number, { parabola, rates }: NonNullable<Minimum['fit']>): NonNullable<Minimum['range']> {
  const reach = Math.sqrt(height / parabola.curvature);
  const [least, most] = [rates[0]!, rates.at(-1)!];
  const [low, high] = [parabola.rate * Math.exp(-reach), parabola.rate * Math.exp(reach)];
  return { low: Math.max(least, low), high: Math.min(most, high), isOpen: low < least || high > most };
}
