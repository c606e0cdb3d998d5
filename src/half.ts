/** IEEE half precision on the host, for which Node.js 20 has no typed array. */

/** Returns the values of packed halves. */
export function floatsOfHalves(bytes: ArrayBuffer): Float32Array {
  return Float32Array.from(new Uint16Array(bytes), half => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

/** Packs values as halves, rounded to the nearest, ties to even; a value beyond 65504 becomes infinite. */
export function halvesOf(values: ArrayLike<number>): Uint16Array {
  return Uint16Array.from({ length: values.length }, (_, i) => halfOf(values[i]!));
}

function halfOf(value: number): number {
  if (Number.isNaN(value)) return 0x7e00;
  const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
  const magnitude = Math.abs(value);
  if (magnitude < 2 ** -14) return sign | roundToEven(magnitude * 2 ** 24); // subnormal: multiples of 2^-24
  if (magnitude === Number.POSITIVE_INFINITY) return sign | 0x7c00;
  let exponent = Math.floor(Math.log2(magnitude));
  if (2 ** exponent > magnitude) exponent--;
  if (2 ** (exponent + 1) <= magnitude) exponent++;
  // a fraction that rounds up to 1024 carries into the exponent, as the format is made to allow
  const bits = (exponent + 15) * 1024 + roundToEven((magnitude / 2 ** exponent - 1) * 1024);
  return sign | Math.min(bits, 0x7c00);
}

function roundToEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/** Packs values as halves in whole words, as buffers are written. */
export function wordsOfHalves(values: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(values.length / 2));
  new Uint16Array(words.buffer).set(halvesOf(values));
  return words;
}
