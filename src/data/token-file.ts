/** Files of token ids, u16 or u32 by the size of the vocabulary (little-endian, as every machine that Node runs on). */
import { closeSync, readSync } from 'node:fs';
import type { OutputFile } from '../durable.js';
import { openRegularFile } from '../input-files.js';

/**
 * The number of ids that are held before they are written, and read at once: documents are often only a few hundred
 * long.
 */
const BLOCK = 2 ** 18;

/** Returns the type in which ids of a vocabulary of `vocabSize` are stored, with a bit to spare for flags. */
export const dtypeFor = (vocabSize: number, isFlagged = false): 'u16' | 'u32' =>
  vocabSize <= 2 ** (isFlagged ? 15 : 16) ? 'u16' : 'u32';
/** Returns the flag of ids that are read and not trained, in data sets that have any: the highest bit. */
export const flagOf = (dtype: 'u16' | 'u32'): number => (dtype === 'u16' ? 2 ** 15 : 2 ** 31);
export const bytesPerToken = (dtype: 'u16' | 'u32'): 2 | 4 => (dtype === 'u16' ? 2 : 4);

/**
 * Reads `count` ids of an open file, from the `start`-th on.
 * @throws Error when the file has fewer.
 */
export function readIds(descriptor: number, dtype: 'u16' | 'u32', start: number, count: number): Uint32Array {
  const width = bytesPerToken(dtype);
  const bytes = new Uint8Array(count * width);
  for (let done = 0; done < bytes.length; ) {
    const read = readSync(descriptor, bytes, done, bytes.length - done, start * width + done);
    if (read === 0)
      throw new Error(`a token file ends ${bytes.length - done} bytes early; it changed while it was read`);
    done += read;
  }
  return dtype === 'u16' ? Uint32Array.from(new Uint16Array(bytes.buffer)) : new Uint32Array(bytes.buffer);
}

/** Writes a new file of ids. */
export class TokenWriter {
  readonly #file: OutputFile;
  readonly #held: Uint16Array | Uint32Array;
  #count = 0;

  constructor(file: OutputFile, dtype: 'u16' | 'u32') {
    this.#file = file;
    this.#held = dtype === 'u16' ? new Uint16Array(BLOCK) : new Uint32Array(BLOCK);
  }

  write(ids: ArrayLike<number>): void {
    for (let i = 0; i < ids.length; i++) {
      this.#held[this.#count++] = ids[i]!;
      if (this.#count === BLOCK) this.#flush();
    }
  }

  /** Writes what is held, makes sure that it is on the disk, and closes the file. */
  finish(): void {
    this.#flush();
    this.#file.finish();
  }

  /** Closes the file as it is; does nothing if it is closed already. */
  close(): void {
    this.#file.close();
  }

  #flush(): void {
    this.#file.write(new Uint8Array(this.#held.buffer, 0, this.#count * this.#held.BYTES_PER_ELEMENT));
    this.#count = 0;
  }
}

/** Reads a file of ids from one place on, in order. */
export class TokenReader {
  readonly #descriptor: number;
  readonly #dtype: 'u16' | 'u32';
  readonly #end: number;
  #read: number;
  #block: Uint32Array = new Uint32Array();
  #position = 0;

  /** Opens the file to read the ids start … end-1. */
  constructor(path: string, dtype: 'u16' | 'u32', start: number, end: number) {
    this.#descriptor = openRegularFile(path);
    this.#dtype = dtype;
    this.#read = start;
    this.#end = end;
  }

  /** Returns the next ids, at least one and at most `count`; they are valid until the next call. */
  next(count: number): Uint32Array {
    if (this.#position === this.#block.length) {
      const size = Math.min(BLOCK, this.#end - this.#read);
      this.#block = readIds(this.#descriptor, this.#dtype, this.#read, size);
      this.#read += size;
      this.#position = 0;
    }
    const ids = this.#block.subarray(this.#position, this.#position + count);
    this.#position += ids.length;
    return ids;
  }

  skip(count: number): void {
    for (let left = count; left > 0; ) left -= this.next(left).length;
  }

  close(): void {
    closeSync(this.#descriptor);
  }
}
