/** Text or held-out tokens for a model to score, with the bytes that the scored tokens spell. */
import { UserError } from '../errors.js';
import type { BadRows } from './bad-rows.js';
import { DocumentEncoder, type DocumentEncoderOptions } from './document-encoder.js';
import { readDocuments } from './documents.js';
import { TokenDataset } from './shards.js';
import { TextTokenizer } from './tokenizer.js';

/** The most ids that are held in memory at once; a larger text is better tokenized into a folder. */
const MOST_IDS = 2e8;

export interface ScoredText {
  /** The ids; every one but the first is predicted. */
  readonly ids: Uint32Array;
  /** The UTF-8 bytes of the text that the predicted ids spell; marks spell none. */
  readonly bytes: number;
  /** The ids of the marks around documents. */
  readonly markIds: ReadonlySet<number>;
  /** The one of them that ends a document. */
  readonly separatorId: number;
  /** The number of special tokens that are spelled out in the text; for shards it is not known. */
  readonly spelledSpecialTokens?: number;
}

/**
 * Reads the first ids of a data set's held-out split, at most `count` of them. The first id has nothing before it and
 * is not predicted, as in training. A character that the end cuts counts as the three bytes that replace it.
 */
export async function heldOutText(dataset: TokenDataset, count = dataset.heldOutTokens): Promise<ScoredText> {
  const ids = dataset.readHeldOut(0, Math.min(count, dataset.heldOutTokens));
  const tokenizer = TextTokenizer.parse(dataset.tokenizerJson, dataset.index);
  const { separatorId, startIds } = dataset.index;
  const markIds = new Set([separatorId, ...startIds]);
  const spelled = (part: Uint32Array) => bytesOf(part, tokenizer, markIds);
  return { ids, bytes: (await spelled(ids)) - (await spelled(ids.subarray(0, 1))), markIds, separatorId };
}

/**
 * Reads the whole held-out split of a token folder, for a model in a folder of its own.
 * @throws UserError when the folder is no data set, or its ids are not the model's.
 */
export async function readHeldOutText(
  folder: string,
  model: { readonly folder: string; readonly vocabSize: number },
): Promise<ScoredText> {
  const dataset = TokenDataset.open(folder);
  try {
    dataset.checkModel(model);
    return await heldOutText(dataset);
  } finally {
    dataset.close();
  }
}

/**
 * Encodes documents of text files, one after another behind a separator, so that all of their tokens are predicted.
 * @param options.rows as in `readDocuments`.
 */
export async function encodeScoredText(
  files: readonly string[],
  field: string,
  tokenizer: TextTokenizer,
  options: DocumentEncoderOptions & { readonly rows?: BadRows | undefined } = {},
): Promise<ScoredText> {
  const encoder = new DocumentEncoder(tokenizer, options);
  const { separatorId } = tokenizer;
  const ids = [separatorId];
  let bytes = 0;
  let spelledSpecialTokens = 0;
  for (const file of files) {
    for await (const part of readDocuments(file, field, undefined, options.rows)) {
      for await (const piece of encoder.encode(part)) {
        for (const id of piece.ids) ids.push(id);
        bytes += piece.bytes;
        spelledSpecialTokens += piece.spelled;
      }
      if (ids.length > MOST_IDS) {
        throw new UserError(`'${file}' and what came before are more than ${MOST_IDS} tokens; tokenize the text first`);
      }
    }
  }
  const markIds = new Set(tokenizer.markBytes.keys());
  return { ids: Uint32Array.from(ids), bytes, markIds, separatorId, spelledSpecialTokens };
}

/** Returns how many bytes of text ids spell, between the marks. */
async function bytesOf(ids: Uint32Array, tokenizer: TextTokenizer, markIds: ReadonlySet<number>): Promise<number> {
  let bytes = 0;
  let text: number[] = [];
  const count = async () => {
    if (text.length > 0) bytes += Buffer.byteLength(await tokenizer.decode(text));
    text = [];
  };
  for (const id of ids) {
    if (markIds.has(id)) await count();
    else text.push(id);
  }
  await count();
  return bytes;
}
