/** The tokens that a text is mostly made of. */
import type { TokenDataset } from './shards.js';
import { addedTokensOf, parseTokenizerFile } from './tokenizer-file.js';

/** Returns the ids that occur most often, at most `most` of them; of those that occur alike the lower ones first. */
export function frequentIds(ids: Uint32Array, isLeftOut: ReadonlySet<number>, most: number): Uint32Array {
  const counts = new Map<number, number>();
  for (const id of ids) if (!isLeftOut.has(id)) counts.set(id, (counts.get(id) ?? 0) + 1);
  const sorted = [...counts].sort(([a, countA], [b, countB]) => countB - countA || a - b);
  return Uint32Array.from(sorted.slice(0, most), ([id]) => id);
}

/** The held-out tokens that are counted. */
const COUNTED = 2 ** 16;
/** Tokens beyond the 512 most frequent ones may be too rare for a model to know them. */
const MOST = 512;

/** Returns the ids that occur most often in what a data set holds out, without marks and special tokens. */
export function frequentHeldOutIds(dataset: TokenDataset): Uint32Array {
  const { separatorId, startIds } = dataset.index;
  const special = addedTokensOf(parseTokenizerFile(dataset.tokenizerJson)).filter(token => token.special);
  const isLeftOut = new Set([separatorId, ...startIds, ...special.map(({ id }) => id)]);
  return frequentIds(dataset.readHeldOut(0, Math.min(COUNTED, dataset.heldOutTokens)), isLeftOut, MOST);
}
