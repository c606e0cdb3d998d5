/** Errors in units that say how good arithmetic could have been. */
import type { OutputType } from '../cases/case.js';
import { FORMATS } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';

/** The spacing of a type's numbers at `value`. */
function ulp(value: number, type: OutputType): number {
  if (type === 'u8') return 1;
  const { roundoff, tiny, least } = FORMATS[type];
  const magnitude = Math.abs(value);
  if (magnitude < tiny) return least;
  return 2 ** Math.floor(Math.log2(magnitude)) * 2 * roundoff;
}

export interface Spread {
  readonly max: number;
  readonly p99: number;
  readonly mean: number;
}

function spreadOf(values: Float64Array): Spread {
  if (values.length === 0) return { max: 0, p99: 0, mean: 0 };
  const sorted = values.slice().sort();
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return { max: sorted.at(-1)!, p99: sorted[Math.floor(0.99 * (sorted.length - 1))]!, mean };
}

/** Shares of the bound at which a histogram's bins end; the first bin holds exact results, the last what fails. */
export const BINS = [0, 2 ** -12, 2 ** -10, 2 ** -8, 2 ** -6, 2 ** -5, 2 ** -4, 2 ** -3, 2 ** -2, 2 ** -1, 1, Infinity];

export interface Errors {
  /** The error in ulp of the reference, of elements that exceed their bound: of the others no digit is certain. */
  readonly ulps: Spread;
  /**
   * The error as a share of the bound: at most 1 where it passed. A value that is not finite counts as infinitely
   * wrong.
   */
  readonly shares: Spread;
  /** Largest error and largest bound, both over the largest exact magnitude; undefined where all is exactly zero. */
  readonly relative: { readonly error: number; readonly bound: number } | undefined;
  readonly worst: number;
  readonly histogram: readonly number[];
}

/** How far `actual` is from the reference; elements that `isWritten` excludes do not count. */
export function errorsOf(
  actual: ArrayLike<number>,
  reference: Vector,
  bound: Vector,
  type: OutputType,
  isWritten: (index: number) => boolean = () => true,
): Errors {
  const ulps: number[] = [];
  const shares: number[] = [];
  const histogram = BINS.map(() => 0);
  let worst = -1;
  let largest = -1;
  let [mostError, mostBound, mostExact] = [0, 0, 0];
  for (let i = 0; i < reference.length; i++) {
    if (!isWritten(i)) continue;
    const difference = Math.abs(actual[i]! - reference[i]!);
    const error = Number.isFinite(difference) ? difference : Number.POSITIVE_INFINITY;
    mostError = Math.max(mostError, error);
    mostBound = Math.max(mostBound, bound[i]!);
    mostExact = Math.max(mostExact, Math.abs(reference[i]!));
    const share = error === 0 ? 0 : error / bound[i]!;
    if (Math.abs(reference[i]!) > bound[i]!) ulps.push(error / ulp(reference[i]!, type));
    shares.push(share);
    histogram[BINS.findIndex(end => share <= end)]!++;
    if (share > largest) {
      largest = share;
      worst = i;
    }
  }
  return {
    ulps: spreadOf(Float64Array.from(ulps)),
    shares: spreadOf(Float64Array.from(shares)),
    relative: mostExact > 0 ? { error: mostError / mostExact, bound: mostBound / mostExact } : undefined,
    worst,
    histogram,
  };
}
