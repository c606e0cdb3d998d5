/** Terms that the laws of whole curves share. */
import { mean } from '../mean.js';
import type { SummedPoint } from './curve-points.js';
import type { FormParameter } from './form.js';

export const EXPONENT = [0.1, 0.8] as const;

/** The floor and the term of S1 that all three begin with; its starts are shares of the lowest loss. */
export function floorAndSum(points: readonly SummedPoint[], logS1: readonly number[]): FormParameter[] {
  const lowest = points.reduce((least, { loss }) => Math.min(least, loss), Number.POSITIVE_INFINITY);
  return [
    { name: 'L0', kind: 'positive', start: [0.5 * lowest, 0.95 * lowest] },
    {
      name: 'A',
      kind: 'positive',
      start: [0.05 * lowest, 0.5 * lowest],
      centre: { exponent: 'alpha', log: mean(logS1) },
    },
    { name: 'alpha', kind: 'exponent', start: EXPONENT },
  ];
}

/** A coefficient of N^−exponent, and the exponent. @param meanLogN of the points; of 1/N, for N^exponent */
export function sizeTerm(coefficient: FormParameter, exponent: string, meanLogN: number): FormParameter[] {
  return [
    { ...coefficient, centre: { exponent, log: meanLogN } },
    { name: exponent, kind: 'exponent', start: EXPONENT },
  ];
}

/** The size of a loss, and of an annealing area; 1 where rates never fell. */
export function scales(points: readonly SummedPoint[]): { loss: number; S2: number } {
  const S2 = points.reduce((most, point) => Math.max(most, Math.abs(point.S2)), 0);
  return { loss: points.reduce((least, { loss }) => Math.min(least, loss), Number.POSITIVE_INFINITY), S2: S2 || 1 };
}
