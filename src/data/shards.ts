/**
 * A token data set on disk: a folder with index.json, train-00000.bin … and heldout.bin (little-endian ids, u16 or u32
 * by the size of the vocabulary), and the tokenizer.json that made them. The separator token stands after every
 * document, so that document boundaries are kept. Where the tokenizer begins texts with a token, that one stands before
 * every document. In a data set with spans, the highest bit of an id flags what is read and not trained.
 */
import { closeSync, existsSync, fstatSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { sha256 } from '../hash.js';
import { openRegularFile, readBytes, readJson, readText } from '../input-files.js';
import { isFileName } from '../paths.js';
import { inWords, whyInvalid } from '../schema.js';
import { bytesPerToken, flagOf, readIds } from './token-file.js';
import { SPECIAL_TOKENS } from './tokenizer.js';
import { largestNeededId, tokenOfId } from './tokenizer-file.js';

export const INDEX_FORMAT = 'babelgrad tokens 1';
/** The format of data sets with flags, which readers of the first one would take for ids. */
export const FLAGGED_FORMAT = 'babelgrad tokens 2';

const splitSchema = z.object({
  file: z.string().refine(isFileName, 'must be the name of a file beside index.json'),
  tokens: z.int().nonnegative(),
  /** The number of documents that begin in the file; one that is partly held out counts on both sides. */
  documents: z.int().nonnegative(),
});
export const indexSchema = z.object({
  format: z.enum([INDEX_FORMAT, FLAGGED_FORMAT]),
  dtype: z.enum(['u16', 'u32']),
  vocabSize: z.int().positive(),
  separatorId: z.int().nonnegative(),
  /** The ids before every document; data sets from before they were written have none. */
  startIds: z.array(z.int().nonnegative()).default([]),
  /** What special tokens that are spelled out in the text became, and how many there are. */
  specialTokens: z.object({ as: z.enum(SPECIAL_TOKENS), spelled: z.int().nonnegative() }).optional(),
  /** The SHA-256 of tokenizer.json. */
  tokenizer: z.string(),
  /** The training tokens, in files of equal length except the last; documents go on from one file to the next. */
  shards: z.array(splitSchema).min(1),
  heldOut: splitSchema,
  /** The UTF-8 bytes and the documents of the text, both sides together. */
  text: z.object({ bytes: z.int().nonnegative(), documents: z.int().nonnegative() }),
  /** The tokens that are trained, on both sides, of a data set with flags. */
  trainedTokens: z.int().nonnegative().optional(),
  sources: z.array(z.object({ file: z.string(), documents: z.int().nonnegative() })),
});
export type TokenIndex = z.infer<typeof indexSchema>;
export type Split = z.infer<typeof splitSchema>;

/** Reads ids of one side of the split, where they lie. */
class SplitReader {
  readonly #files: { readonly descriptor: number; readonly start: number; readonly tokens: number }[] = [];
  readonly #dtype: 'u16' | 'u32';
  #tokens = 0;

  constructor(folder: string, splits: readonly Split[], dtype: 'u16' | 'u32') {
    this.#dtype = dtype;
    try {
      for (const split of splits) this.#open(folder, split);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  #open(folder: string, { file, tokens }: Split): void {
    const path = join(folder, file);
    const descriptor = openRegularFile(path, `there is no file '${path}', which index.json names`);
    this.#files.push({ descriptor, start: this.#tokens, tokens });
    this.#tokens += tokens;
    const found = fstatSync(descriptor).size;
    const expected = tokens * bytesPerToken(this.#dtype);
    if (found !== expected) {
      throw new UserError(
        `'${path}' has ${found} bytes, index.json says ${expected}; it is cut off or not of this data set. ` +
          "Run 'tokenize' again.",
      );
    }
  }

  get tokens(): number {
    return this.#tokens;
  }

  read(start: number, count: number): Uint32Array {
    if (this.#files.length === 0) throw new UserError('the data set was closed; open it again, or close it later');
    if (start < 0 || count < 0 || start + count > this.#tokens) {
      throw new Error(`tokens ${start} to ${start + count} were asked for, there are ${this.#tokens}`);
    }
    const ids = new Uint32Array(count);
    for (const file of this.#files) {
      const from = Math.max(start, file.start);
      const to = Math.min(start + count, file.start + file.tokens);
      if (from < to) ids.set(readIds(file.descriptor, this.#dtype, from - file.start, to - from), from - start);
    }
    return ids;
  }

  close(): void {
    for (const { descriptor } of this.#files.splice(0)) closeSync(descriptor);
  }
}

/** The ids that are read at a time where all are looked at. */
const PIECE = 1 << 20;

/** An open token data set; close it with `close`. */
export class TokenDataset {
  readonly folder: string;
  readonly index: TokenIndex;
  readonly #train: SplitReader;
  readonly #heldOut: SplitReader;
  #largestId: number | undefined;
  #rowsNeeded: number | undefined;

  private constructor(folder: string, index: TokenIndex) {
    this.folder = folder;
    this.index = index;
    this.#train = new SplitReader(folder, index.shards, index.dtype);
    try {
      this.#heldOut = new SplitReader(folder, [index.heldOut], index.dtype);
    } catch (error) {
      this.#train.close();
      throw error;
    }
  }

  /**
   * Opens a data set. @throws UserError when the folder is none, or a file is missing, cut off, or of another data set.
   */
  static open(folder: string): TokenDataset {
    const path = join(folder, 'index.json');
    const json = readJson(
      path,
      `'${folder}' is no token data set (it has no index.json); make one with 'babelgrad tokenize'`,
    );
    const parsed = indexSchema.safeParse(json, inWords);
    if (!parsed.success) {
      throw new UserError(`'${path}': ${whyInvalid(parsed.error, 'index')}. Run 'tokenize' again.`);
    }
    checkOwnTokenizer(folder, parsed.data.tokenizer);
    return new TokenDataset(folder, parsed.data);
  }

  get trainTokens(): number {
    return this.#train.tokens;
  }

  get heldOutTokens(): number {
    return this.#heldOut.tokens;
  }

  /** Whether some of the tokens are read and not trained. */
  get hasWeights(): boolean {
    return this.index.format === FLAGGED_FORMAT;
  }

  /** Returns the training ids start … start+count-1. */
  readTrain(start: number, count: number): Uint32Array {
    return this.#withoutFlags(this.#train.read(start, count));
  }

  /** Returns the weights of the same ids: 1 for those that are trained, else 0. */
  readWeights(start: number, count: number): Float32Array {
    const flag = this.hasWeights ? flagOf(this.index.dtype) : Infinity;
    return Float32Array.from(this.#train.read(start, count), id => (id < flag ? 1 : 0));
  }

  /** Returns the held-out ids start … start+count-1. */
  readHeldOut(start: number, count: number): Uint32Array {
    return this.#withoutFlags(this.#heldOut.read(start, count));
  }

  #withoutFlags(ids: Uint32Array): Uint32Array {
    if (!this.hasWeights) return ids;
    const bits = flagOf(this.index.dtype) - 1;
    return ids.map(id => id & bits);
  }

  /** The text of the tokenizer.json that made the ids. */
  get tokenizerJson(): string {
    return readText(join(this.folder, 'tokenizer.json'));
  }

  /**
   * Returns the rows that a model needs for the ids, where it has fewer `rows`. Special tokens that are no mark of a
   * document need none.
   */
  rowsBeyond(rows: number): number | undefined {
    const { vocabSize, separatorId, startIds } = this.index;
    if (vocabSize <= rows) return undefined;
    this.#rowsNeeded ??= largestNeededId(this.tokenizerJson, [separatorId, ...startIds]).id + 1;
    return this.#rowsNeeded > rows ? this.#rowsNeeded : undefined;
  }

  /**
   * Checks that a model in a folder of its own can read the ids.
   * @throws UserError as `checkTokenizerOf`, or when it has no rows for some.
   */
  checkModel(model: { readonly folder: string; readonly vocabSize: number }): void {
    this.checkTokenizerOf(model.folder);
    const needed = this.rowsBeyond(model.vocabSize);
    if (needed === undefined) return;
    throw new UserError(
      `'${this.folder}' has a vocabulary of ${needed}, larger than the model's of ${model.vocabSize}`,
    );
  }

  /**
   * Checks that special tokens that are spelled out in the text are among the rows of a model. Where that has rows for
   * all tokens, or the text none of these, nothing is read.
   * @throws UserError naming one that has no row.
   */
  checkSpecialTokens(rows: number): void {
    const { vocabSize, specialTokens } = this.index;
    if (vocabSize <= rows || specialTokens?.as === 'text' || specialTokens?.spelled === 0) return;
    this.#largestId ??= this.#findLargestId();
    if (this.#largestId < rows) return;
    const token = tokenOfId(this.tokenizerJson, this.#largestId);
    throw new UserError(
      `'${this.folder}' has the special token ${JSON.stringify(token)} (id ${this.#largestId}) in its text, for ` +
        `which the model's ${rows} rows have none; tokenize with --special-tokens text`,
    );
  }

  #findLargestId(): number {
    let largest = 0;
    for (const split of [this.#train, this.#heldOut]) {
      for (let start = 0; start < split.tokens; start += PIECE) {
        const ids = this.#withoutFlags(split.read(start, Math.min(PIECE, split.tokens - start)));
        for (const id of ids) largest = Math.max(largest, id);
      }
    }
    return largest;
  }

  /**
   * Checks that a model reads the ids as they were made. A folder without a tokenizer.json passes: what it reads is not
   * known.
   * @throws UserError when the model's folder has another tokenizer.
   */
  checkTokenizerOf(modelFolder: string): void {
    const path = join(modelFolder, 'tokenizer.json');
    if (!existsSync(path) || sha256(readBytes(path)) === this.index.tokenizer) return;
    throw new UserError(
      `'${this.folder}': the data was made with another tokenizer than the checkpoint's; run 'tokenize' with '${path}'`,
    );
  }

  close(): void {
    this.#train.close();
    this.#heldOut.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** Checks that the tokenizer is the one that made the ids: they mean nothing with another. */
function checkOwnTokenizer(folder: string, expected: string): void {
  const path = join(folder, 'tokenizer.json');
  if (sha256(readBytes(path, `there is no file '${path}', which made the ids`)) !== expected) {
    throw new UserError(
      `'${path}' is not the tokenizer that made the ids (its SHA-256 differs from the one in index.json)`,
    );
  }
}
