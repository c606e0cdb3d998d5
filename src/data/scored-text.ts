/** Text or held-out tokens to be scored by a model, with the bytes that the scored tokens spell. */
import { UserError } from '../errors.js';
import type { BadRows } from './bad-rows.js';
import { readDocuments } from './documents.js';
import { TokenDataset } from './shards.js';
import { TextTokenizer } from './tokenizer.js';

/** Ids that are held in memory at once; more are better tokenized into a folder. */
const MOST_IDS = 2e8;

export interface ScoredText {
  /** Every id but the first is predicted. */
  readonly ids: Uint32Array;
  /** UTF-8 bytes of the text that the predicted ids spell; separators spell none. */
  readonly bytes: number;
  readonly separatorId: number;
}

/**
 * The first ids of a data set's held-out split, at most `count` of them. The first has nothing before it and is not
 * predicted, as in training. A character that the end cuts counts as the three bytes that replace it.
 */
export async function heldOutText(dataset: TokenDataset, count = dataset.heldOutTokens): Promise<ScoredText> {
  const ids = dataset.readHeldOut(0, Math.min(count, dataset.heldOutTokens));
  const tokenizer = TextTokenizer.parse(dataset.tokenizerJson);
  const { separatorId } = dataset.index;
  const spelled = (part: Uint32Array) => bytesOf(part, tokenizer, separatorId);
  return { ids, bytes: (await spelled(ids)) - (await spelled(ids.subarray(0, 1))), separatorId };
}

/**
 * The whole held-out split of a token folder, for the model in a folder of its own.
 * @throws UserError when the folder is no data set, or its ids are not the model's.
 */
export async function readHeldOutText(
  folder: string,
  model: { readonly folder: string; readonly vocabSize: number },
): Promise<ScoredText> {
  const dataset = TokenDataset.open(folder);
  try {
    dataset.checkTokenizerOf(model.folder);
    const { index } = dataset;
    if (index.vocabSize > model.vocabSize) {
      throw new UserError(
        `'${folder}' has a vocabulary of ${index.vocabSize}, larger than the model's of ${model.vocabSize}`,
      );
    }
    return await heldOutText(dataset);
  } finally {
    dataset.close();
  }
}

/**
 * Documents of text files, each after a separator, so that all of their tokens are predicted.
 * @param rows as of `readDocuments`.
 */
export async function encodeScoredText(
  files: readonly string[],
  field: string,
  tokenizer: TextTokenizer,
  rows?: BadRows,
): Promise<ScoredText> {
  const { separatorId } = tokenizer;
  const ids = [separatorId];
  let bytes = 0;
  for (const file of files) {
    for await (const { text, endOfDocument } of readDocuments(file, field, undefined, rows)) {
      for (const id of await tokenizer.encode(text)) ids.push(id);
      if (endOfDocument) ids.push(separatorId);
      bytes += Buffer.byteLength(text);
      if (ids.length > MOST_IDS) {
        throw new UserError(`'${file}' and what came before are more than ${MOST_IDS} tokens; tokenize the text first`);
      }
    }
  }
  return { ids: Uint32Array.from(ids), bytes, separatorId };
}

/** Bytes of text that ids spell, document by document. */
async function bytesOf(ids: Uint32Array, tokenizer: TextTokenizer, separatorId: number): Promise<number> {
  let bytes = 0;
  for (let start = 0; start < ids.length; ) {
    const found = ids.indexOf(separatorId, start);
    const end = found < 0 ? ids.length : found;
    if (end > start) bytes += Buffer.byteLength(await tokenizer.decode([...ids.subarray(start, end)]));
    start = end + 1;
  }
  return bytes;
}
