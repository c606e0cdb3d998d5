/**
 * Log-likelihoods of spans, for instance of the choices of a task. Sequences are run by length, and what they share is
 * run once.
 */
import { UserError } from '../errors.js';
import { checkIds, checkSizes } from '../model/batch.js';
import type { Model } from '../model/model.js';
import { TokenLosses } from './token-losses.js';
import { layTrees, type Sequences, type Tree, treeLength, treesOf } from './trees.js';

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
 * sequences that begin alike are computed as one tree, to the same bits, but for those that are longer than a window of
 * the model. Trees of one padded length run one after the other as batches of one plan, which is made once and freed
 * before the next length.
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
  const within = 1 + (model.config.slidingWindow ?? Number.POSITIVE_INFINITY); // the last id is only predicted
  const longest = sequences.reduce((most, { ids }) => (ids.length <= within ? Math.max(most, ids.length) : most), 1);
  const sums = new Float64Array(sequences.length);
  for (const { T, isCut, trees } of lotsOf(sequences, treesOf(sequences, batchTokens, within), within)) {
    const B = Math.max(1, Math.min(Math.floor(batchTokens / T), trees.length));
    const evaluator = await TokenLosses.create(model, { B, T }, isCut ? {} : { branches: longest });
    try {
      for (let first = 0; first < trees.length; first += B) {
        const batch = trees.slice(first, first + B);
        const { ids, rows, ...branches } = layTrees(batch, sequences, T);
        const losses = await evaluator.of(ids, isCut ? undefined : branches);
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

/** Trees of one padded length. */
interface Lot {
  readonly T: number;
  /** Whether a window cuts them: sequences of more than so many ids, each alone. */
  readonly isCut: boolean;
  readonly trees: Tree[];
}

/** Returns trees by length, the longest first, and those that a window cuts apart. */
function lotsOf(sequences: Sequences, trees: readonly Tree[], within: number): Lot[] {
  const lots = new Map<string, Lot>();
  for (const tree of trees) {
    const T = paddedLength(treeLength(tree, sequences));
    const isCut = sequences[tree.members[0]!]!.ids.length > within;
    const key = `${T} ${isCut}`;
    const lot = lots.get(key) ?? { T, isCut, trees: [] };
    lot.trees.push(tree);
    lots.set(key, lot);
  }
  return [...lots.values()].sort((a, b) => b.T - a.T);
}
