/**
 * Reads the safetensors format: eight bytes of header length, a JSON header, then the tensors' bytes without gaps.
 * https://github.com/huggingface/safetensors#format
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import { z } from 'zod';
import { sizeOf } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import { openRegularFile, parseJson } from '../input-files.js';
import { ownValue } from '../own.js';
import {
  findNonFinite,
  type StoredBits,
  storedBits,
  WEIGHT_BYTES,
  WEIGHT_TYPES,
  type WeightType,
  widen,
} from './weight-types.js';

const MAX_HEADER_BYTES = 100_000_000; // the format's own limit
const BYTES_OF: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
};
/**
 * The number of values that are read at a time: a tensor of any size takes little memory, and a processor's cache holds
 * a piece.
 */
const PIECE = 2 ** 16;

/** What the header says of a tensor. */
const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
export type Entry = z.infer<typeof entrySchema>;

/** A piece of a tensor, as it is stored. The array is used again for the next piece. */
export interface StoredPiece {
  readonly stored: StoredBits;
  /** The index of the first value in its tensor. */
  readonly first: number;
}

/** A piece of a tensor with its values, whose array is used again, too. */
export interface TensorPiece extends StoredPiece {
  readonly values: Float32Array;
}

/** An open file whose header has been checked. */
export class SafetensorsFile {
  readonly path: string;
  readonly #file: number;
  readonly #dataStart: number;
  readonly #entries: ReadonlyMap<string, Entry>;

  private constructor(path: string, file: number, dataStart: number, entries: ReadonlyMap<string, Entry>) {
    this.path = path;
    this.#file = file;
    this.#dataStart = dataStart;
    this.#entries = entries;
  }

  /** Opens a file. @throws UserError naming it and what is wrong with its header, or by how much it is cut off. */
  static open(path: string): SafetensorsFile {
    const missing = `there is no file '${path}'; a checkpoint folder holds config.json and model.safetensors`;
    const file = openRegularFile(path, missing);
    try {
      const size = fstatSync(file).size;
      if (size < 8) throw new UserError(`'${path}' is cut off: ${size} bytes are too few for a safetensors file`);
      const start = Buffer.alloc(8);
      readInto(file, 0, start);
      const headerBytes = Number(start.readBigUInt64LE());
      if (headerBytes > MAX_HEADER_BYTES || headerBytes < 2) {
        throw new UserError(`'${path}' is not a safetensors file: its header would be ${headerBytes} bytes long`);
      }
      if (8 + headerBytes > size) {
        throw new UserError(`'${path}' is cut off within its header: ${8 + headerBytes} bytes needed, ${size} there`);
      }
      const header = Buffer.alloc(headerBytes);
      readInto(file, 8, header);
      const entries = parseHeader(path, header.toString('utf8'));
      checkLayout(path, entries, size - 8 - headerBytes);
      return new SafetensorsFile(path, file, 8 + headerBytes, entries);
    } catch (error) {
      closeSync(file);
      throw error;
    }
  }

  get names(): string[] {
    return [...this.#entries.keys()];
  }

  /** Returns a tensor's shape. @throws UserError when there is no such tensor. */
  shape(name: string): readonly number[] {
    const entry = this.#entries.get(name);
    if (!entry) throw new UserError(`'${this.path}' has no tensor '${name}'`);
    return entry.shape;
  }

  /** Returns what the header says of a tensor. @throws UserError when it is missing, or has another shape. */
  #entry(name: string, shape: readonly number[]): Entry {
    const entry = this.#entries.get(name);
    if (!entry) throw new UserError(`'${this.path}' has no tensor '${name}', which config.json calls for`);
    if (entry.shape.join() !== shape.join()) {
      throw new UserError(
        `'${this.path}': '${name}' has shape [${entry.shape.join(', ')}]; config.json makes it [${shape.join(', ')}]`,
      );
    }
    return entry;
  }

  /**
   * Returns the type that a tensor is stored in.
   * @throws UserError when the tensor is missing, has another shape, or a type that weights don't have.
   */
  typeOf(name: string, shape: readonly number[]): WeightType {
    const entry = this.#entry(name, shape);
    const type = WEIGHT_TYPES.find(type => type === entry.dtype);
    if (!type) {
      throw new UserError(
        `'${this.path}': '${name}' is ${entry.dtype}; weights are read as ${WEIGHT_TYPES.join(', ')}. ` +
          'Convert the file.',
      );
    }
    return type;
  }

  /**
   * Yields a tensor's values from first to last.
   * @throws UserError as `typeOf`, and naming tensor and index when a value is not finite.
   */
  *pieces(name: string, shape: readonly number[]): Generator<TensorPiece> {
    const type = this.typeOf(name, shape);
    const words = type === 'F32' ? undefined : new Uint32Array(Math.min(PIECE, sizeOf(shape)));
    const check = (stored: StoredBits) =>
      words ? widen(type, stored, words.subarray(0, stored.length)) : findNonFinite(type, stored);
    for (const { stored, first } of this.#pieces(name, shape, check)) {
      yield { values: new Float32Array((words ?? stored).buffer, 0, stored.length), stored, first };
    }
  }

  /** Yields pieces as `pieces` does, but without the values: they are checked, not widened. */
  storedPieces(name: string, shape: readonly number[]): Generator<StoredPiece> {
    const type = this.typeOf(name, shape);
    return this.#pieces(name, shape, stored => findNonFinite(type, stored));
  }

  /** Yields stored pieces; `check` returns the index of a piece's first value that is not finite, or -1. */
  *#pieces(name: string, shape: readonly number[], check: (stored: StoredBits) => number): Generator<StoredPiece> {
    const type = this.typeOf(name, shape);
    const count = sizeOf(shape);
    const start = this.#dataStart + this.#entries.get(name)!.data_offsets[0];
    const bits = storedBits(type, Math.min(PIECE, count));
    for (let first = 0; first < count; first += PIECE) {
      const stored = bits.subarray(0, Math.min(PIECE, count - first));
      const bytes = new Uint8Array(stored.buffer, 0, stored.byteLength);
      readInto(this.#file, start + first * WEIGHT_BYTES[type], bytes);
      const bad = check(stored);
      if (bad >= 0) {
        throw new UserError(
          `'${this.path}': '${name}' holds a value that is not finite (NaN or infinity) ` +
            `at ${showIndex(first + bad, shape)}; the checkpoint is damaged, or comes from a run that diverged`,
        );
      }
      yield { stored, first };
    }
  }

  /** Returns all values of a tensor. @throws UserError as `pieces`. */
  read(name: string, shape: readonly number[]): Float32Array {
    const values = new Float32Array(sizeOf(shape));
    for (const piece of this.pieces(name, shape)) values.set(piece.values, piece.first);
    return values;
  }

  /** Returns a tensor of bytes. @throws UserError when it is missing, has another shape, or is not U8. */
  readBytes(name: string, shape: readonly number[]): Uint8Array<ArrayBuffer> {
    const { dtype, data_offsets } = this.#entry(name, shape);
    if (dtype !== 'U8') throw new UserError(`'${this.path}': '${name}' is ${dtype}, not U8`);
    const bytes = new Uint8Array(sizeOf(shape));
    readInto(this.#file, this.#dataStart + data_offsets[0], bytes);
    return bytes;
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** Returns a place in a tensor, as in `[3, 17]`. */
export function showIndex(flat: number, shape: readonly number[]): string {
  const index: number[] = [];
  let rest = flat;
  for (const size of shape.toReversed()) {
    index.unshift(rest % size);
    rest = Math.floor(rest / size);
  }
  return `[${index.join(', ')}]`;
}

function readInto(file: number, position: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.length) {
    const count = readSync(file, bytes, done, bytes.length - done, position + done);
    if (count === 0) throw new Error(`a file ended ${bytes.length - done} bytes early while it was read`);
    done += count;
  }
}

function parseHeader(path: string, text: string): Map<string, Entry> {
  let json: unknown;
  try {
    json = parseJson(text);
  } catch {
    throw new UserError(`'${path}' is not a safetensors file: its header is not JSON`);
  }
  const parsed = z.record(z.string(), z.unknown()).safeParse(json);
  if (!parsed.success) throw new UserError(`'${path}': the header is not a JSON object`);
  const entries = new Map<string, Entry>();
  for (const [name, value] of Object.entries(parsed.data)) {
    if (name === '__metadata__') continue;
    const entry = entrySchema.safeParse(value);
    if (!entry.success) throw new UserError(`'${path}': the header's entry '${name}' has no dtype, shape and offsets`);
    entries.set(name, entry.data);
  }
  return entries;
}

/** Checks that tensors fill the file without gaps or overlaps, each as long as its shape says. */
function checkLayout(path: string, entries: ReadonlyMap<string, Entry>, available: number): void {
  const sorted = [...entries].sort(([, { data_offsets: a }], [, { data_offsets: b }]) => a[0] - b[0] || a[1] - b[1]);
  let end = 0;
  for (const [name, { dtype, shape, data_offsets }] of sorted) {
    const width = ownValue(BYTES_OF, dtype);
    if (!width) throw new UserError(`'${path}': '${name}' has the unknown type '${dtype}'`);
    const [from, to] = data_offsets;
    const bytes = width * sizeOf(shape);
    if (to - from !== bytes) {
      throw new UserError(
        `'${path}': '${name}' [${shape.join(', ')}] ${dtype} takes ${bytes} bytes, its offsets span ${to - from}`,
      );
    }
    if (from !== end)
      throw new UserError(`'${path}': '${name}' starts at byte ${from}, expected ${end} (gap or overlap)`);
    end = to;
  }
  if (available < end)
    throw new UserError(`'${path}' is cut off: ${end} bytes of tensors expected, ${available} there`);
  if (available > end) throw new UserError(`'${path}' has ${available - end} bytes after its last tensor`);
}
