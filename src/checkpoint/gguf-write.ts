/**
 * Writes the GGUF format, version 3, of ggml and llama.cpp: a header, key-value pairs, the places of all tensors, then
 * their values at multiples of 32 bytes. All numbers are little-endian.
 */
import { sizeOf } from '../autograd/tensor.js';
import type { OutputFile } from '../durable.js';
import { type StoredBits, WEIGHT_BYTES, type WeightType } from './weight-types.js';

const MAGIC = 'GGUF';
const VERSION = 3;
const ALIGNMENT = 32;

/** The numbers of the types that values of keys have. */
const VALUE_TYPES = { u32: 4, i32: 5, f32: 6, bool: 7, string: 8, array: 9 } as const;
/** The numbers of the types that tensors have here. */
const TENSOR_TYPES: Readonly<Record<WeightType, number>> = { F32: 0, F16: 1, BF16: 30 };

/** A value with its type; arrays are of texts or of numbers. */
export type GgufValue =
  | { readonly u32: number }
  | { readonly f32: number }
  | { readonly bool: boolean }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly i32s: readonly number[] }
  | { readonly f32s: readonly number[] };

/** A tensor to be written. Its values are asked for when it is its turn. */
export interface GgufTensor {
  readonly name: string;
  /** Its dimensions, of which neighbours differ in the last; the file has them in reverse. */
  readonly shape: readonly number[];
  readonly type: WeightType;
  read(): Iterable<StoredBits>;
}

export const bytesOfTensor = ({ shape, type }: Pick<GgufTensor, 'shape' | 'type'>): number =>
  sizeOf(shape) * WEIGHT_BYTES[type];
const aligned = (bytes: number): number => Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;

/** Writes a new file and closes it. */
export function writeGguf(
  file: OutputFile,
  values: ReadonlyMap<string, GgufValue>,
  tensors: readonly GgufTensor[],
): void {
  try {
    const header = [Buffer.from(MAGIC), u32(VERSION), u64(tensors.length), u64(values.size)];
    for (const [key, value] of values) header.push(text(key), bytesOfValue(value));
    let offset = 0;
    for (const tensor of tensors) {
      const { name, shape, type } = tensor;
      header.push(
        text(name),
        u32(shape.length),
        ...[...shape].reverse().map(u64),
        u32(TENSOR_TYPES[type]),
        u64(offset),
      );
      offset += aligned(bytesOfTensor(tensor));
    }
    const bytes = Buffer.concat(header);
    file.write(bytes);
    file.write(new Uint8Array(aligned(bytes.length) - bytes.length));
    for (const tensor of tensors) {
      let written = 0;
      for (const { buffer, byteOffset, byteLength } of tensor.read()) {
        file.write(new Uint8Array(buffer, byteOffset, byteLength));
        written += byteLength;
      }
      const expected = bytesOfTensor(tensor);
      if (written !== expected) throw new Error(`'${tensor.name}' gave ${written} bytes in place of ${expected}`);
      file.write(new Uint8Array(aligned(expected) - expected));
    }
    file.finish();
  } finally {
    file.close();
  }
}

function bytesOfValue(value: GgufValue): Buffer {
  if ('u32' in value) return Buffer.concat([u32(VALUE_TYPES.u32), u32(value.u32)]);
  if ('bool' in value) return Buffer.concat([u32(VALUE_TYPES.bool), Buffer.from([value.bool ? 1 : 0])]);
  if ('string' in value) return Buffer.concat([u32(VALUE_TYPES.string), text(value.string)]);
  if ('f32' in value) return Buffer.concat([u32(VALUE_TYPES.f32), f32(value.f32)]);
  if ('strings' in value) return array('string', value.strings.map(text));
  if ('f32s' in value) return array('f32', value.f32s.map(f32));
  return array('i32', value.i32s.map(u32)); // none of them is negative
}

function array(type: keyof typeof VALUE_TYPES, items: readonly Buffer[]): Buffer {
  return Buffer.concat([u32(VALUE_TYPES.array), u32(VALUE_TYPES[type]), u64(items.length), ...items]);
}

function f32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([u64(bytes.length), bytes]);
}
