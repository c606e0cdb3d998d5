/** The second pass of tokenizing: it divides the ids of all documents into training shards and a held-out file. */
import { UserError } from '../errors.js';
import type { NewFolder } from '../files.js';
import { Random } from '../random.js';
import type { Split } from './shards.js';
import { TokenReader, TokenWriter } from './token-file.js';

export interface SplitOptions {
  /** The exact number of tokens to hold out. */
  readonly heldOutTokens: number;
  readonly shardTokens: number;
  /** The seed of the choice of held-out documents. */
  readonly seed: number;
}

/** A file of ids with its documents. */
export interface TokenizedDocuments {
  readonly path: string;
  readonly dtype: 'u16' | 'u32';
  /** The tokens of each document, in the order of the file. */
  readonly lengths: readonly number[];
}

/**
 * Writes heldout.bin and train-00000.bin … into `folder`. Documents are held out in a seeded shuffle until there are as
 * many tokens as asked for. Of the last document only the first part is taken. This part comes last in heldout.bin,
 * since no separator follows it.
 * @throws UserError when no token would be left to train on.
 */
export function writeSplit(
  folder: NewFolder,
  { path, dtype, lengths }: TokenizedDocuments,
  { heldOutTokens, shardTokens, seed }: SplitOptions,
): { shards: Split[]; heldOut: Split } {
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  if (heldOutTokens >= tokens) {
    throw new UserError(
      `${heldOutTokens} tokens were to be held out, but the text has ${tokens} in all; hold out fewer or add text`,
    );
  }
  const { whole, divided } = chooseHeldOut(lengths, heldOutTokens, seed);
  const reader = new TokenReader(path, dtype, 0, tokens);
  const heldOut = new SideWriter(folder, dtype, () => 'heldout.bin', Infinity);
  const train = new SideWriter(folder, dtype, i => `train-${String(i).padStart(5, '0')}.bin`, shardTokens);
  try {
    let start = 0;
    let dividedStart = 0;
    lengths.forEach((length, document) => {
      if (document === divided?.document) {
        dividedStart = start;
        reader.skip(divided.heldOut);
        train.writeDocument(reader, length - divided.heldOut);
      } else {
        (whole.has(document) ? heldOut : train).writeDocument(reader, length);
      }
      start += length;
    });
    if (divided) {
      const first = new TokenReader(path, dtype, dividedStart, dividedStart + divided.heldOut);
      heldOut.writeDocument(first, divided.heldOut);
      first.close();
    }
    return { shards: train.finish(), heldOut: heldOut.finish()[0]! };
  } finally {
    for (const file of [reader, heldOut, train]) file.close();
  }
}

/** Chooses the documents that are held out whole, and the one of which only the first tokens are. */
function chooseHeldOut(lengths: readonly number[], wanted: number, seed: number) {
  const whole = new Set<number>();
  let left = wanted;
  for (const document of new Random(seed, 'held out').permutation(lengths.length)) {
    if (left === 0) break;
    if (lengths[document]! > left) return { whole, divided: { document, heldOut: left } };
    whole.add(document);
    left -= lengths[document]!;
  }
  return { whole, divided: undefined };
}

/** Writes one side of the split, in files of equal length except the last. */
class SideWriter {
  readonly #folder: NewFolder;
  readonly #dtype: 'u16' | 'u32';
  readonly #nameOf: (file: number) => string;
  readonly #fileTokens: number;
  readonly #files: Split[] = [];
  #writer: TokenWriter;

  constructor(folder: NewFolder, dtype: 'u16' | 'u32', nameOf: (file: number) => string, fileTokens: number) {
    this.#folder = folder;
    this.#dtype = dtype;
    this.#nameOf = nameOf;
    this.#fileTokens = fileTokens;
    this.#writer = this.#begin();
  }

  /** Takes the next `count` ids of `reader`, which are a document or a part of one. */
  writeDocument(reader: TokenReader, count: number): void {
    let begins = 1;
    for (let left = count; left > 0; ) {
      if (this.#files.at(-1)!.tokens === this.#fileTokens) {
        this.#writer.finish();
        this.#writer = this.#begin();
      }
      const file = this.#files.at(-1)!;
      const ids = reader.next(Math.min(left, this.#fileTokens - file.tokens));
      this.#writer.write(ids);
      file.tokens += ids.length;
      file.documents += begins;
      begins = 0;
      left -= ids.length;
    }
  }

  /** Completes the files. @returns what they hold. */
  finish(): Split[] {
    this.#writer.finish();
    return this.#files;
  }

  close(): void {
    this.#writer.close();
  }

  #begin(): TokenWriter {
    const file = this.#nameOf(this.#files.length);
    this.#files.push({ file, tokens: 0, documents: 0 });
    return new TokenWriter(this.#folder.create(file), this.#dtype);
  }
}
