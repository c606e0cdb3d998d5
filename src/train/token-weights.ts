/**
 * Weights of the tokens that a step predicts. Its loss is Σ w·nll / Σ w over all micro-batches: the device multiplies
 * by w / Σ w, which the host has computed.
 */
import { UserError } from '../errors.js';
import { IGNORED_TARGET } from '../kernels/cross-entropy.js';
import type { TrainerSettings } from './traced-step.js';

/**
 * Checks weights [n, T] of the targets of sequences [n, T+1].
 * @throws UserError when they are no Float32Array of that shape, or a weight is negative or not finite.
 */
export function checkWeights(weights: Float32Array, sequences: Uint32Array, T: number): void {
  if (!(weights instanceof Float32Array)) {
    const given = (weights as object | undefined)?.constructor.name ?? weights;
    throw new UserError(`weights must be a Float32Array, not ${given}; Float32Array.from(weights) makes one`);
  }
  const count = sequences.length / (T + 1);
  if (weights.length !== count * T) {
    throw new UserError(
      `${weights.length} weights are not [${count}, ${T}]: ${count * T} are expected, one for each id but the first`,
    );
  }
  const bad = weights.findIndex(weight => !(weight >= 0 && weight < Infinity));
  if (bad < 0) return;
  throw new UserError(`weight ${bad} is ${weights[bad]}; a weight is a finite number of at least 0`);
}

/** Returns Σ w over the targets that are not ignored. */
export function sumOfWeights(weights: Float32Array, sequences: Uint32Array, T: number): number {
  return weights.reduce((sum, weight, i) => (isIgnored(sequences, i, T) ? sum : sum + weight), 0);
}

/** Returns w / total; where the total is 0, and no weight counts, all are 0. */
export function sharesOf(weights: Float32Array, total: number): Float32Array {
  return total > 0 ? weights.map(weight => weight / total) : new Float32Array(weights.length);
}

/**
 * Returns the weights of a step's sequences as shares of their sum, `total` where trainers share a step, for a trainer
 * that takes them; by default all weights are 1.
 * @throws UserError as `checkWeights`, or when weights are given to a trainer that takes none.
 */
export function sharesOfStep(
  { T, weighted, sharers = 1 }: Pick<TrainerSettings, 'T' | 'weighted' | 'sharers'>,
  sequences: Uint32Array,
  given?: Float32Array,
  total?: number,
): Float32Array | undefined {
  if (!weighted && given === undefined) return undefined;
  if (!weighted) {
    throw new UserError('weights are for a trainer that takes them: Trainer.create(model, { …, weighted: true })');
  }
  const weights = given ?? new Float32Array((sequences.length / (T + 1)) * T).fill(1);
  checkWeights(weights, sequences, T);
  return sharesOf(weights, total ?? sharers * sumOfWeights(weights, sequences, T));
}

/** Whether the target of a prediction counts for nothing; predictions are numbered [n, T]. */
const isIgnored = (sequences: Uint32Array, i: number, T: number): boolean =>
  sequences[i + Math.floor(i / T) + 1] === IGNORED_TARGET;
