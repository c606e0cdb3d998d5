/** IEEE half precision on the host, for which Node.js 20 has no typed array. */
import { pack16 } from './pack16.js';

/** The largest finite value. */
export const LARGEST_HALF = 65504;

function floatOfHalf(half: number): number {
  const sign = half & 0x8000 ? -1 : 1;
  const exponent = (half >> 10) & 0x1f;
  const fraction = half & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** The f32 bits of every half. The table is made when the first half is widened. */
let all: Int32Array | undefined;
export function wordsOfAllHalves(): Int32Array {
  all ??= new Int32Array(Float32Array.from({ length: 2 ** 16 }, (_, half) => floatOfHalf(half)).buffer);
  return all;
}

/** Returns the values of packed halves. */
export function floatsOfHalves(bytes: ArrayBuffer): Float32Array<ArrayBuffer> {
  const table = wordsOfAllHalves();
  const halves = new Uint16Array(bytes);
  const words = new Int32Array(halves.length);
  for (let i = 0; i < words.length; i++) words[i] = table[halves[i]!]!;
  return new Float32Array(words.buffer);
}

/** Rounds the bits of an f32 to a half, to the nearest, ties to even; a value beyond 65504 becomes infinite. */
export function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00; // NaN
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

/** Packs values as halves: they are taken as f32, then rounded. */
export function halvesOf(values: ArrayLike<number>): Uint16Array<ArrayBuffer> {
  return pack16(values, halfBits);
}

/** Packs values as halves in whole words, as buffers are written. */
export function wordsOfHalves(values: ArrayLike<number>): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(Math.ceil(values.length / 2));
  new Uint16Array(words.buffer).set(halvesOf(values));
  return words;
}
