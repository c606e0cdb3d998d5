/**
 * What repeated tokens, and parameters beyond what they can fill, are still worth (Muennighoff et al. 2023, arXiv
 * 2305.16264): a law of N and D at
 *
 *   D' = U_D + U_D·R*_D·(1 − e^(−R_D/R*_D)),   U_D the unique tokens, R_D = D/U_D − 1 the passes beyond the first
 *   N' = U_N + U_N·R*_N·(1 − e^(−R_N/R*_N)),   U_N = min(N, the size whose optimum U_D tokens are), R_N = N/U_N − 1
 *
 * As in the paper, the law is fitted to runs without repetition first, and keeps its parameters here. That a law of CPT
 * is taken at N' and D' too is ours.
 */
import { UserError } from '../errors.js';
import { allocationFactor, exponents, hasOptimum } from './allocation.js';
import type { Form } from './form.js';
import { type LawParameters, lossAt } from './law.js';

/** The constants R*_D and R*_N: about how many passes, and how many fold of parameters, are worth something. */
export interface Repetition {
  readonly R_D: number;
  readonly R_N: number;
}

/**
 * The constants as the paper has them, fitted to 182 runs of up to 9B parameters on English text; every digit as in the
 * authors' repository (huggingface/datablations, "Parametric Fit").
 */
export const PUBLISHED_REPETITION: Repetition = { R_D: 15.387756, R_N: 5.309743 };

/** Returns what `total` is worth, of which `unique` is new: D' of D and U_D. */
export const worth = (total: number, unique: number, constant: number): number =>
  total <= unique ? total : unique * (1 + constant * -Math.expm1(-(total / unique - 1) / constant));

/** Returns the derivative of `worth` by the constant. */
function worthByConstant(total: number, unique: number, constant: number): number {
  if (total <= unique) return 0;
  const x = (total / unique - 1) / constant;
  return unique * (-Math.expm1(-x) - x * Math.exp(-x));
}

/** Returns the size whose optimum these tokens are; no size is too large for a law without an optimum. */
export function fillableParameters(law: LawParameters, tokens: number): number {
  const { a, b } = exponents(law);
  if (!hasOptimum(law) || !(b > 0)) return Number.POSITIVE_INFINITY;
  const G = allocationFactor(law);
  return G * (tokens * G) ** (a / b);
}

/** Returns N' and D'. */
export function effective(law: LawParameters, { R_D, R_N }: Repetition, N: number, D: number, unique: number) {
  return { N: worth(N, fillableParameters(law, Math.min(D, unique)), R_N), D: worth(D, unique, R_D) };
}

/** Returns the loss of N parameters after D tokens, of which `unique` are different ones. */
export function repeatedLossAt(
  law: LawParameters,
  repetition: Repetition,
  N: number,
  D: number,
  unique: number,
): number {
  const at = effective(law, repetition, N, D, unique);
  return lossAt(law, at.N, at.D);
}

/** A point of a run that may have seen tokens more than once. */
export interface RepeatedPoint {
  readonly parameters: number;
  readonly tokens: number;
  readonly loss: number;
  /** The different tokens among them; as many as `tokens`, unless given. */
  readonly uniqueTokens?: number;
}

/** Returns the form with R_D and R_N as its parameters, the law's own being kept. */
export function repetitionForm(law: LawParameters, points: readonly RepeatedPoint[]): Form {
  const { A, B, alpha, beta, gamma } = law;
  return {
    parameters: [
      { name: 'R_D', kind: 'positive', start: [1, 50] },
      { name: 'R_N', kind: 'positive', start: [1, 50] },
    ],
    points: points.length,
    predict(values, i, slopes) {
      const [R_D, R_N] = values as unknown as [number, number];
      const { parameters, tokens, uniqueTokens = tokens } = points[i]!;
      const fillable = fillableParameters(law, Math.min(tokens, uniqueTokens));
      const N = worth(parameters, fillable, R_N);
      const D = worth(tokens, uniqueTokens, R_D);
      const byTokens = B / (D ** beta * N ** gamma);
      slopes[0] = ((-beta * byTokens) / D) * worthByConstant(tokens, uniqueTokens, R_D);
      slopes[1] = (-((alpha * A) / N ** alpha + gamma * byTokens) / N) * worthByConstant(parameters, fillable, R_N);
      return lossAt(law, N, D);
    },
  };
}

export interface RepeatedOptimum {
  readonly uniqueTokens: number;
  /** The best split of the compute where only so many tokens are different, or the run that was given. */
  readonly N: number;
  readonly D: number;
  readonly passes: number;
  readonly loss: number;
  /** The tokens that as much new text would have to be for the same loss at this size. */
  readonly effectiveTokens: number;
  readonly repetition: Repetition;
}

/**
 * Plans a run on `unique` different tokens: the best split of C FLOPs, or the run of a given size.
 * @throws UserError when the law has no optimum and no size is given
 */
export function planRepeated(
  law: LawParameters,
  repetition: Repetition,
  C: number,
  unique: number,
  given?: number,
): RepeatedOptimum {
  const lossOf = (logN: number) => repeatedLossAt(law, repetition, Math.exp(logN), C / (6 * Math.exp(logN)), unique);
  const N = given ?? Math.exp(lowest(law, C, lossOf));
  const D = C / (6 * N);
  return {
    uniqueTokens: unique,
    N,
    D,
    passes: D / Math.min(D, unique),
    loss: lossOf(Math.log(N)),
    effectiveTokens: worth(D, unique, repetition.R_D),
    repetition,
  };
}

const GOLDEN = (Math.sqrt(5) - 1) / 2;

/** Returns where the loss is lowest, by a grid around the optimum without repetition and a golden-section search. */
function lowest(law: LawParameters, C: number, lossOf: (logN: number) => number): number {
  if (!hasOptimum(law)) throw new UserError('the law has no best split of compute: give --parameters and --tokens');
  const middle = Math.log(allocationFactor(law) * (C / 6) ** exponents(law).a);
  const grid = Array.from({ length: 141 }, (_, i) => middle + (i - 70) / 10);
  const best = grid.reduce((least, at) => (lossOf(at) < lossOf(least) ? at : least));
  let [low, high] = [best - 0.1, best + 0.1];
  while (high - low > 1e-9) {
    const [left, right] = [high - GOLDEN * (high - low), low + GOLDEN * (high - low)];
    if (lossOf(left) < lossOf(right)) high = right;
    else low = left;
  }
  return (low + high) / 2;
}
