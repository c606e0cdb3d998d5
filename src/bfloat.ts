/** bf16 on the host: the upper half of an f32. */
import { pack16 } from './pack16.js';

/** Returns the values of packed bf16. */
export function floatsOfBfloats(bytes: ArrayBuffer): Float32Array {
  const bits = new Uint16Array(bytes);
  const values = new Float32Array(bits.length);
  widenBfloats(bits, values);
  return values;
}

/**
 * Rounds the bits of an f32 that is not NaN to bf16, to the nearest, ties to even. A carry out of the fraction goes
 * into the exponent, as the format is made to allow; a carry out of the largest exponent gives infinity.
 */
export const bfloatBits = (word: number): number => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;

/** Packs values as bf16: they are taken as f32, then rounded. */
export function bfloatsOf(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  return pack16(values, bfloatBits);
}

/** Packs values as bf16 in whole words, as buffers are written. */
export function wordsOfBfloats(values: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(values.length / 2));
  new Uint16Array(words.buffer).set(bfloatsOf(values));
  return words;
}

/** Rounds f32 values to bf16 into `bits`; what is not finite stays so. */
export function roundToBfloats(values: Float32Array, bits: Uint16Array): void {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const isNan = (word & 0x7fffffff) > 0x7f800000;
    bits[i] = isNan ? (word >>> 16) | 0x40 : bfloatBits(word);
  }
}

/** Widens packed bf16 into f32. */
export function widenBfloats(bits: Uint16Array, values: Float32Array): void {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) words[i] = bits[i]! << 16;
}
