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

/** Rounds the bits of an f32 to a half, to the nearest, ties to even; NaN becomes infinite. */
export function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520, half way from the largest half to 2^16
  if (magnitude >= 0x38800000) {
    // 2^-14 and up: the fraction has 13 bits fewer, and the exponent's bias is 15 in place of 127
    return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x38000000) >>> 13);
  }
  // a subnormal half: a multiple of 2^-24
  const shift = 126 - (magnitude >>> 23);
  if (shift > 24) return sign;
  const fraction = (magnitude & 0x7fffff) | 0x800000;
  const below = fraction >>> shift;
  const rest = fraction & ((1 << shift) - 1);
  const half = 1 << (shift - 1);
  return sign | (below + (rest > half || (rest === half && below % 2 === 1) ? 1 : 0));
}

/** The f32 bits of every half. The table is made when the first half is widened by it. */
let all: Int32Array | undefined;
export function wordsOfAllHalves(): Int32Array {
  all ??= new Int32Array(floatsOfHalves(Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits).buffer).buffer);
  return all;
}

/** Widens packed halves into f32. */
export function widenHalves(bits: Uint16Array, values: Float32Array): void {
  const table = wordsOfAllHalves();
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) words[i] = table[bits[i]!]!;
}

/** Rounds f32 values to halves into `bits`; what is not finite, or too large, becomes infinite. */
export function roundToHalves(values: Float32Array, bits: Uint16Array): void {
  const words = new Int32Array(values.buffer, values.byteOffset, values.length);
  for (let i = 0; i < words.length; i++) bits[i] = halfBits(words[i]!);
}
