/** Compares what a kernel gave with a reference, against a bound. */
import type { Vector } from './reference.js';

export interface Comparison {
  readonly passed: boolean;
  /** Largest |actual − reference|. */
  readonly maxError: number;
  /** Largest error over its bound: at most 1 where it passed. */
  readonly maxRatio: number;
  readonly worstIndex: number;
  /** The worst elements, for a message. */
  readonly description: string;
}

/** A value that is not finite fails, whatever the bound. */
export function compare(actual: Float32Array, reference: Vector, bound: Vector | number): Comparison {
  if (actual.length !== reference.length) throw new Error(`${actual.length} values against ${reference.length}`);
  const boundAt = (i: number) => (typeof bound === 'number' ? bound : bound[i]!);
  const ratioAt = (i: number) => {
    const error = Math.abs(actual[i]! - reference[i]!);
    return Number.isFinite(error) ? error / boundAt(i) : Number.POSITIVE_INFINITY;
  };
  let maxError = 0;
  let maxRatio = 0;
  let worstIndex = -1;
  for (let i = 0; i < actual.length; i++) {
    const error = Math.abs(actual[i]! - reference[i]!);
    if (!(error <= maxError)) maxError = error;
    const ratio = ratioAt(i);
    if (ratio > maxRatio) {
      maxRatio = ratio;
      worstIndex = i;
    }
  }
  const failing = Array.from(actual.keys()).filter(i => ratioAt(i) > 1);
  const shown = (failing.length > 0 ? failing : [worstIndex]).slice(0, 5).filter(i => i >= 0);
  const rows = shown.map(i => `  [${i}] ${actual[i]} expected ${reference[i]} bound ${boundAt(i).toExponential(2)}`);
  const description = [
    `${failing.length} of ${actual.length} beyond the bound, worst ratio ${maxRatio.toPrecision(3)}`,
    ...rows,
  ].join('\n');
  return { passed: maxRatio <= 1, maxError, maxRatio, worstIndex, description };
}
