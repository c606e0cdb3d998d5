/** Packing of values in 16 bits each. */

/**
 * Takes values as f32, and packs what `bitsOf` makes of their bits. Tensors have more values than an array of V8 may
 * have elements (2^27), of which `from` with a function makes one.
 */
export function pack16(values: ArrayLike<number>, bitsOf: (word: number) => number): Uint16Array<ArrayBuffer> {
  const { buffer, byteOffset, length } = values instanceof Float32Array ? values : Float32Array.from(values);
  const words = new Uint32Array(buffer, byteOffset, length);
  const bits = new Uint16Array(length);
  for (let i = 0; i < length; i++) bits[i] = bitsOf(words[i]!);
  return bits;
}
