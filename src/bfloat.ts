/** bf16 on the host: the upper half of an f32. */

/** The values of packed bf16. */
export function floatsOfBfloats(bytes: ArrayBuffer): Float32Array {
  return new Float32Array(Uint32Array.from(new Uint16Array(bytes), bits => bits << 16).buffer);
}

/**
 * The bits of an f32 that is not NaN rounded to bf16, to the nearest, ties to even. A carry out of the fraction goes into the
 * exponent, as the format is made to, and out of the largest to infinity.
 */
export const bfloatBits = (word: number): number => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;

/** Packs values as bf16: taken as f32, then rounded. */
export function bfloatsOf(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  const words = new Uint32Array(Float32Array.from(values).buffer);
  return Uint16Array.from(words, bfloatBits);
}

/** bf16 as whole words, as buffers are written. */
export function wordsOfBfloats(values: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(values.length / 2));
  new Uint16Array(words.buffer).set(bfloatsOf(values));
  return words;
}
