/**
 * The safetensors format: eight bytes of header length, a JSON header, then the tensors' bytes without gaps.
 * https://github.com/huggingface/safetensors#format
 */
import { closeSync, fstatSync, fsyncSync, openSync, readSync, writeSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../errors.js';

const MAX_HEADER_BYTES = 100_000_000; // the format's own limit
const BYTES_OF: Readonly<Record<string, number>> = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U8: 1,
  BOOL: 1,
};

const entrySchema = z.object({
  dtype: z.string(),
  shape: z.array(z.int().nonnegative()),
  data_offsets: z.tuple([z.int().nonnegative(), z.int().nonnegative()]),
});
type Entry = z.infer<typeof entrySchema>;

/** What a tensor to be written is: its values are asked for when it is its turn. */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  read(): Promise<Float32Array> | Float32Array;
}

/** Writes f32 tensors to a new file and flushes it. Half a file may be left behind by a crash: write into a folder that
 * appears whole. */
export async function writeSafetensors(path: string, tensors: readonly TensorSource[]): Promise<void> {
  const header: Record<string, Entry | Record<string, string>> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const { name, shape } of tensors) {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape: [...shape], data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8, ' ');
  text.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  const file = openSync(path, 'wx');
  try {
    writeAll(file, length);
    writeAll(file, padded);
    for (const tensor of tensors) {
      const values = await tensor.read();
      writeAll(file, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    }
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}

function writeAll(file: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(file, bytes, done, bytes.length - done);
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

  /** @throws UserError naming the file and what is wrong with its header, or by how much it is cut off. */
  static open(path: string): SafetensorsFile {
    let file: number;
    try {
      file = openSync(path, 'r');
    } catch {
      throw new UserError(`there is no file '${path}'; a checkpoint folder holds config.json and model.safetensors`);
    }
    try {
      const size = fstatSync(file).size;
      if (size < 8) throw new UserError(`'${path}' is cut off: ${size} bytes are too few for a safetensors file`);
      const headerBytes = Number(readBytes(file, 0, 8).readBigUInt64LE());
      if (headerBytes > MAX_HEADER_BYTES || headerBytes < 2) {
        throw new UserError(`'${path}' is not a safetensors file: its header would be ${headerBytes} bytes long`);
      }
      if (8 + headerBytes > size) {
        throw new UserError(`'${path}' is cut off within its header: ${8 + headerBytes} bytes needed, ${size} there`);
      }
      const entries = parseHeader(path, readBytes(file, 8, headerBytes).toString('utf8'));
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

  /** @throws UserError when the file has no such tensor. */
  shape(name: string): readonly number[] {
    return this.#entry(name).shape;
  }

  /** @throws UserError when the tensor is missing, has another shape, or is not f32. */
  read(name: string, shape: readonly number[]): Float32Array {
    const entry = this.#entry(name);
    if (entry.shape.join() !== shape.join()) {
      throw new UserError(
        `'${this.path}': '${name}' has shape [${entry.shape.join(', ')}]; config.json makes it [${shape.join(', ')}]`,
      );
    }
    if (entry.dtype !== 'F32') {
      throw new UserError(
        `'${this.path}': '${name}' is ${entry.dtype}; only F32 weights can be read. Convert the file.`,
      );
    }
    const [start, end] = entry.data_offsets;
    const bytes = readBytes(this.#file, this.#dataStart + start, end - start);
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
  }

  #entry(name: string): Entry {
    const entry = this.#entries.get(name);
    if (!entry) throw new UserError(`'${this.path}' has no tensor '${name}', which config.json calls for`);
    return entry;
  }

  close(): void {
    closeSync(this.#file);
  }
}

function readBytes(file: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const count = readSync(file, bytes, done, length - done, position + done);
    if (count === 0) throw new Error(`a file ended ${length - done} bytes early while it was read`);
    done += count;
  }
  return bytes;
}

function parseHeader(path: string, text: string): Map<string, Entry> {
  let json: unknown;
  try {
    json = JSON.parse(text);
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

/** Tensors must fill the file without gaps or overlaps, each as long as its shape says. */
function checkLayout(path: string, entries: ReadonlyMap<string, Entry>, available: number): void {
  const sorted = [...entries].sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  let end = 0;
  for (const [name, { dtype, shape, data_offsets }] of sorted) {
    const width = BYTES_OF[dtype];
    if (!width) throw new UserError(`'${path}': '${name}' has the unknown type '${dtype}'`);
    const [from, to] = data_offsets;
    const bytes = width * shape.reduce((a, b) => a * b, 1);
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
