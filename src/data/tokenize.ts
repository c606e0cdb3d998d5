/** Text files to a token data set, in two streaming passes. */
import { createHash } from 'node:crypto';
import { closeSync, existsSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../errors.js';
import { writeFileWhole, writeFolderWhole } from '../files.js';
import { Random } from '../random.js';
import { readDocuments } from './documents.js';
import { INDEX_FORMAT, type Split, type TokenIndex } from './shards.js';
import type { TextTokenizer } from './tokenizer.js';

export interface TokenizeOptions {
  readonly tokenizer: TextTokenizer;
  /** Field or column of the text in .jsonl and .parquet. */
  readonly field: string;
  /** The folder to make; it must not exist. */
  readonly out: string;
  /** Tokens to hold out, exactly; default a twentieth, at most a million. */
  readonly heldOutTokens?: number | undefined;
  /** Tokens of a shard. */
  readonly shardTokens?: number;
  /** Of the choice of held-out documents. */
  readonly seed?: number;
  readonly onProgress?: (progress: { readonly file: string; readonly tokens: number }) => void;
}

/**
 * First pass: every document becomes ids and a separator, in one temporary file. Second pass: held-out documents are
 * chosen by a seeded shuffle until their tokens are as many as asked; the last one chosen is divided, its first part
 * held out; the rest becomes shards. The folder appears when it is complete.
 * @throws UserError when `out` exists, a text cannot be read, or there are too few tokens to hold out that many.
 */
export async function tokenizeFiles(files: readonly string[], options: TokenizeOptions): Promise<TokenIndex> {
  const { out, tokenizer } = options;
  if (existsSync(out)) throw new UserError(`'${out}' exists already; choose another folder or remove it`);
  let index: TokenIndex | undefined;
  await writeFolderWhole(out, async folder => {
    const all = join(folder, 'all.tmp');
    const encoded = await encodeAll(files, all, options);
    index = divide(all, folder, encoded, options);
    rmSync(all);
    writeFileWhole(join(folder, 'tokenizer.json'), tokenizer.json);
    writeFileWhole(join(folder, 'index.json'), `${JSON.stringify(index, null, 2)}\n`);
  });
  return index!;
}

interface Encoded {
  /** Tokens of each document, separator included. */
  readonly lengths: readonly number[];
  readonly tokens: number;
  readonly textBytes: number;
  readonly sources: { readonly file: string; readonly documents: number }[];
}

async function encodeAll(
  files: readonly string[],
  path: string,
  { tokenizer, field, onProgress }: TokenizeOptions,
): Promise<Encoded> {
  const lengths: number[] = [];
  const sources: Encoded['sources'] = [];
  let tokens = 0;
  let textBytes = 0;
  const writer = new TokenWriter(path, tokenizer.vocabSize);
  try {
    for (const file of files) {
      let documents = 0;
      let length = 0;
      for await (const { text, endOfDocument } of readDocuments(file, field)) {
        const ids = await tokenizer.encode(text);
        if (endOfDocument) ids.push(tokenizer.separatorId);
        writer.write(Uint32Array.from(ids));
        textBytes += Buffer.byteLength(text);
        length += ids.length;
        tokens += ids.length;
        if (endOfDocument) {
          lengths.push(length);
          documents++;
          length = 0;
        }
        onProgress?.({ file, tokens });
      }
      sources.push({ file, documents });
    }
  } finally {
    writer.close();
  }
  return { lengths, tokens, textBytes, sources };
}

/** How many of each document's first tokens are held out. */
function chooseHeldOut(lengths: readonly number[], wanted: number, seed: number): Uint32Array {
  const heldOut = new Uint32Array(lengths.length);
  let left = wanted;
  for (const document of new Random(seed, 'held out').permutation(lengths.length)) {
    if (left === 0) break;
    heldOut[document] = Math.min(left, lengths[document]!);
    left -= heldOut[document]!;
  }
  return heldOut;
}

function divide(path: string, folder: string, encoded: Encoded, options: TokenizeOptions): TokenIndex {
  const { tokenizer, heldOutTokens, shardTokens = 2 ** 26, seed = 0 } = options;
  const { lengths, tokens } = encoded;
  const wanted = heldOutTokens ?? Math.min(1e6, Math.floor(tokens / 20));
  if (wanted >= tokens) {
    throw new UserError(`${wanted} tokens were to be held out, but the text has ${tokens} in all; hold out fewer`);
  }
  const heldOut = chooseHeldOut(lengths, wanted, seed);
  const reader = new TokenReader(path, tokenizer.vocabSize);
  const heldOutWriter = new SplitWriter(folder, 'heldout.bin', tokenizer.vocabSize);
  const shards: SplitWriter[] = [];
  try {
    lengths.forEach((length, document) => {
      const split = heldOut[document]!;
      if (split > 0) heldOutWriter.write(reader, split);
      if (length === split) return;
      if (shards.length === 0 || shards.at(-1)!.tokens >= shardTokens) {
        shards.push(
          new SplitWriter(folder, `train-${String(shards.length).padStart(5, '0')}.bin`, tokenizer.vocabSize),
        );
      }
      shards.at(-1)!.write(reader, length - split);
    });
  } finally {
    for (const writer of [reader, heldOutWriter, ...shards]) writer.close();
  }
  return {
    format: INDEX_FORMAT,
    dtype: bytesPerToken(tokenizer.vocabSize) === 2 ? 'u16' : 'u32',
    vocabSize: tokenizer.vocabSize,
    separatorId: tokenizer.separatorId,
    tokenizer: createHash('sha256').update(tokenizer.json).digest('hex'),
    shards: shards.map(shard => shard.split),
    heldOut: heldOutWriter.split,
    text: { bytes: encoded.textBytes, documents: lengths.length },
    sources: encoded.sources,
  };
}

const bytesPerToken = (vocabSize: number): 2 | 4 => (vocabSize <= 65536 ? 2 : 4);

class TokenWriter {
  readonly #file: number;
  readonly #wide: boolean;

  constructor(path: string, vocabSize: number) {
    this.#file = openSync(path, 'wx');
    this.#wide = bytesPerToken(vocabSize) === 4;
  }

  write(ids: Uint32Array): void {
    const values = this.#wide ? ids : Uint16Array.from(ids);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#file, bytes, done);
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Reads a file of ids from its start on, in blocks. */
class TokenReader {
  readonly #file: number;
  readonly #width: 2 | 4;

  constructor(path: string, vocabSize: number) {
    this.#file = openSync(path, 'r');
    this.#width = bytesPerToken(vocabSize);
  }

  /** The next `count` ids. */
  next(count: number): Uint32Array {
    const bytes = new Uint8Array(count * this.#width);
    for (let done = 0; done < bytes.length; ) {
      const read = readSync(this.#file, bytes, done, bytes.length - done, null);
      if (read === 0) throw new Error('the temporary token file ended early');
      done += read;
    }
    return this.#width === 4 ? new Uint32Array(bytes.buffer) : Uint32Array.from(new Uint16Array(bytes.buffer));
  }

  close(): void {
    closeSync(this.#file);
  }
}

class SplitWriter {
  readonly #file: string;
  readonly #writer: TokenWriter;
  #documents = 0;
  tokens = 0;

  constructor(folder: string, file: string, vocabSize: number) {
    this.#file = file;
    this.#writer = new TokenWriter(join(folder, file), vocabSize);
  }

  /** Takes the next `count` ids of a document from `reader`. */
  write(reader: TokenReader, count: number): void {
    const BLOCK = 2 ** 20;
    for (let left = count; left > 0; left -= BLOCK) this.#writer.write(reader.next(Math.min(left, BLOCK)));
    this.tokens += count;
    this.#documents++;
  }

  get split(): Split {
    return { file: this.#file, tokens: this.tokens, documents: this.#documents };
  }

  close(): void {
    this.#writer.close();
  }
}
