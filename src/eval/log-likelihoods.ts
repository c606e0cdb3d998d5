/**
 * Log-likelihoods of spans, for instance of the choices of a task. Sequences are run by length, and what they share is
 * run once.
 */
import { UserError } from '../errors.js';
import { checkIds, checkSizes } from '../model/batch.js';
import type { Model } from '../model/model.js';
import { TokenLosses } from './token-losses.js';
import { layTrees, type Tree, treeLength, treesOf } from './trees.js';

/** Tokens of which those from `start` on (at least 1) are scored, given all before. */
export interface ScoredTokens {
  readonly ids: ArrayLike<number>;
  readonly start: number;
}

/**
 * Returns the length in predicted tokens that a sequence is padded to: 16, 24, 32, 48, 64, 96, …, so that a few plans
 * do.
 */
export function paddedLength(tokens: number): number {
  for (let power = 16; ; power *= 2) {
    if (tokens <= power) return power;
    if (tokens <= 1.5 * power) return 1.5 * power;
  }
}

export interface ScoreOptions {
  /** The tokens that run at once, padding included; a batch has at least one sequence. */
  readonly batchTokens: number;
  readonly onScored?: (sequences: number) => void;
}

/**
 * Returns the summed log-likelihood in nats of each sequence [n], of 2 ids or more; sums are float64. Neighbouring
 * sequences that begin alike are computed as one tree, to the same bits, where no window is narrower than they are.
 * Trees of one padded length run one after the other as batches of one plan, which is made once and freed before the
 * next length.
 * @throws UserError when an id is outside the vocabulary, a span is none of its sequence's, or the model was destroyed.
 * @example
 * import { createModel, logLikelihoods, openDevice } from 'babelgrad';
 *
 * const device = await openDevice();
 * const model = await createModel(device, { preset: 'tiny', vocabSize: 10 });
 * const choices = [{ ids: [1, 2, 3, 4], start: 2 }, { ids: [1, 2, 5], start: 2 }]; // after 1, 2: 3, 4 or 5?
 * console.log(await logLikelihoods(model, choices, { batchTokens: 1024 }));
 */
export async function logLikelihoods(
  model: Model,
  sequences: readonly ScoredTokens[],
  { batchTokens, onScored }: ScoreOptions,
): Promise<Float64Array> {
  checkSizes({ batchTokens });
  for (const { ids, start } of sequences) {
    checkIds(ids, model.config.vocabSize);
    if (Number.isInteger(start) && start >= 1 && start < ids.length) continue;
    throw new UserError(
      `a span from ${start} of ${ids.length} ids cannot be scored; ` +
        `it begins at a whole number from 1 to ${ids.length - 1}`,
    );
  }
  const longest = sequences.reduce((most, { ids }) => Math.max(most, ids.length), 1);
  const byLength = new Map<number, Tree[]>();
  const isWhole = longest - 1 <= (model.config.slidingWindow ?? Infinity); // the last id is only predicted
  const apart = () => sequences.map((_, i): Tree => ({ trunk: 0, members: [i] }));
  for (const tree of isWhole ? treesOf(sequences, batchTokens) : apart()) {
    const T = paddedLength(treeLength(tree, sequences));
    const others = byLength.get(T);
    if (others) others.push(tree);
    else byLength.set(T, [tree]);
  }
  const sums = new Float64Array(sequences.length);
  for (const [T, trees] of [...byLength].sort(([a], [b]) => b - a)) {
    const B = Math.max(1, Math.min(Math.floor(batchTokens / T), trees.length));
    const evaluator = await TokenLosses.create(model, { B, T }, isWhole ? { branches: longest } : {});
    try {
      for (let first = 0; first < trees.length; first += B) {
        const batch = trees.slice(first, first + B);
        const { ids, rows, ...branches } = layTrees(batch, sequences, T);
        const losses = await evaluator.of(ids, isWhole ? branches : undefined);
        for (const [n, { members }] of batch.entries()) {
          for (const [i, member] of members.entries()) {
            const { ids: own, start } = sequences[member]!;
            for (let t = start; t < own.length; t++) sums[member]! -= losses[rows[n]![i]!(t)]!;
          }
          onScored?.(members.length);
        }
      }
    } finally {
      evaluator.destroy();
    }
  }
  return sums;
}
