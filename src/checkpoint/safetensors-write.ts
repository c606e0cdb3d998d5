/** Writes the safetensors format, see safetensors.ts. */
import { sizeOf } from '../autograd/tensor.js';
import type { OutputFile } from '../durable.js';
import type { Entry } from './safetensors.js';
import { type StoredBits, WEIGHT_BYTES, type WeightType } from './weight-types.js';

/** A tensor to be written. Its values are asked for when it is its turn. */
export interface TensorSource {
  readonly name: string;
  readonly shape: readonly number[];
  readonly dtype: WeightType | 'U8';
  /** Returns the values' bits, in pieces of any length. */
  read(): Promise<StoredBits | Uint8Array> | Iterable<StoredBits | Uint8Array>;
}

/** Returns an f32 tensor to be written. */
export function floatTensor(name: string, shape: readonly number[], read: () => Promise<Float32Array>): TensorSource {
  const bits = async () => {
    const { buffer, byteOffset, length } = await read();
    return new Uint32Array(buffer, byteOffset, length);
  };
  return { name, shape, dtype: 'F32', read: bits };
}

/** Returns the bytes of the tensors' values. */
export const bytesOfTensors = (tensors: readonly Pick<TensorSource, 'shape' | 'dtype'>[]): number =>
  tensors.reduce((sum, { shape, dtype }) => sum + (dtype === 'U8' ? 1 : WEIGHT_BYTES[dtype]) * sizeOf(shape), 0);

/**
 * Writes tensors to a new file and closes it. A crash may leave half a file behind: write into a folder that appears
 * whole.
 */
export async function writeSafetensors(file: OutputFile, tensors: readonly TensorSource[]): Promise<void> {
  try {
    for (const part of headerOf(tensors)) file.write(part);
    for (const tensor of tensors) {
      const values = tensor.read();
      const pieces = values instanceof Promise ? [await values] : values;
      let written = 0;
      for (const piece of pieces) {
        file.write(new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
        written += piece.byteLength;
      }
      const expected = bytesOfTensors([tensor]);
      if (written !== expected) throw new Error(`'${tensor.name}' gave ${written} bytes in place of ${expected}`);
    }
    file.finish();
  } finally {
    file.close();
  }
}

/** Returns the length of the header and the header, padded to whole words. */
function headerOf(tensors: readonly TensorSource[]): [length: Uint8Array, header: Uint8Array] {
  const header: Record<string, Entry | Record<string, string>> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const tensor of tensors) {
    const end = offset + bytesOfTensors([tensor]);
    header[tensor.name] = { dtype: tensor.dtype, shape: [...tensor.shape], data_offsets: [offset, end] };
    offset = end;
  }
  const text = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(text.length / 8) * 8, ' ');
  text.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return [length, padded];
}
