/**
 * A token data set on disk: a folder with index.json, train-00000.bin … and heldout.bin (little-endian ids, u16 or u32
 * by the size of the vocabulary), and the tokenizer.json that made them. After every document stands the separator
 * token, so that document boundaries are kept.
 */
import { closeSync, fstatSync, openSync, readFileSync, readSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf, UserError } from '../errors.js';

export const INDEX_FORMAT = 'babelgrad tokens 1';

const splitSchema = z.object({ file: z.string(), tokens: z.int().nonnegative(), documents: z.int().nonnegative() });
export const indexSchema = z.object({
  format: z.literal(INDEX_FORMAT),
  dtype: z.enum(['u16', 'u32']),
  vocabSize: z.int().positive(),
  separatorId: z.int().nonnegative(),
  /** SHA-256 of tokenizer.json. */
  tokenizer: z.string(),
  shards: z.array(splitSchema).min(1),
  heldOut: splitSchema,
  /** Characters and UTF-8 bytes of the text. */
  text: z.object({ bytes: z.int().nonnegative(), documents: z.int().nonnegative() }),
  sources: z.array(z.object({ file: z.string(), documents: z.int().nonnegative() })),
});
export type TokenIndex = z.infer<typeof indexSchema>;
export type Split = z.infer<typeof splitSchema>;

/** Ids of a split, read where they lie. */
class SplitReader {
  readonly #files: readonly { readonly descriptor: number; readonly start: number; readonly tokens: number }[];
  readonly #bytesPerToken: number;
  readonly tokens: number;

  constructor(folder: string, splits: readonly Split[], bytesPerToken: number) {
    let start = 0;
    this.#bytesPerToken = bytesPerToken;
    this.#files = splits.map(({ file, tokens }) => {
      const path = join(folder, file);
      let descriptor: number;
      try {
        descriptor = openSync(path, 'r');
      } catch (error) {
        throw new UserError(`'${path}', which index.json names, cannot be read: ${messageOf(error)}`);
      }
      const found = fstatSync(descriptor).size;
      if (found !== tokens * bytesPerToken) {
        closeSync(descriptor);
        throw new UserError(
          `'${path}' has ${found} bytes, index.json says ${tokens * bytesPerToken}; it is cut off or not of this data set. Run 'tokenize' again.`,
        );
      }
      start += tokens;
      return { descriptor, start: start - tokens, tokens };
    });
    this.tokens = start;
  }

  read(start: number, count: number): Uint32Array {
    if (start < 0 || start + count > this.tokens) {
      throw new Error(`tokens ${start} to ${start + count} were asked for, there are ${this.tokens}`);
    }
    const ids = new Uint32Array(count);
    for (const file of this.#files) {
      const from = Math.max(start, file.start);
      const to = Math.min(start + count, file.start + file.tokens);
      if (from >= to) continue;
      const bytes = new Uint8Array((to - from) * this.#bytesPerToken);
      readSync(file.descriptor, bytes, 0, bytes.length, (from - file.start) * this.#bytesPerToken);
      const part = this.#bytesPerToken === 2 ? new Uint16Array(bytes.buffer) : new Uint32Array(bytes.buffer);
      ids.set(part, from - start);
    }
    return ids;
  }

  close(): void {
    for (const { descriptor } of this.#files) closeSync(descriptor);
  }
}

/** An open token data set. */
export class TokenDataset {
  readonly folder: string;
  readonly index: TokenIndex;
  readonly #train: SplitReader;
  readonly #heldOut: SplitReader;

  private constructor(folder: string, index: TokenIndex) {
    this.folder = folder;
    this.index = index;
    const bytes = index.dtype === 'u16' ? 2 : 4;
    this.#train = new SplitReader(folder, index.shards, bytes);
    this.#heldOut = new SplitReader(folder, [index.heldOut], bytes);
  }

  /** @throws UserError when the folder is no data set, or a file is missing or cut off. */
  static open(folder: string): TokenDataset {
    const path = join(folder, 'index.json');
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch {
      throw new UserError(
        `'${folder}' is no token data set (it has no index.json); make one with 'babelgrad tokenize'`,
      );
    }
    let json: unknown;
    try {
      json = JSON.parse(text);
    } catch (error) {
      throw new UserError(`'${path}' is not JSON: ${messageOf(error)}`);
    }
    const parsed = indexSchema.safeParse(json);
    if (!parsed.success) {
      const { path: field, message } = parsed.error.issues[0]!;
      throw new UserError(`'${path}': ${field.join('.')}: ${message}`);
    }
    return new TokenDataset(folder, parsed.data);
  }

  get trainTokens(): number {
    return this.#train.tokens;
  }

  get heldOutTokens(): number {
    return this.#heldOut.tokens;
  }

  readTrain(start: number, count: number): Uint32Array {
    return this.#train.read(start, count);
  }

  readHeldOut(start: number, count: number): Uint32Array {
    return this.#heldOut.read(start, count);
  }

  /** The tokenizer.json that made the ids. */
  get tokenizerJson(): string {
    return readFileSync(join(this.folder, 'tokenizer.json'), 'utf8');
  }

  close(): void {
    this.#train.close();
    this.#heldOut.close();
  }
}
