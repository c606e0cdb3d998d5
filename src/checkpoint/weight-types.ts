/** The number formats that weights are stored in, and their conversion to and from f32, on bits. */
import { bfloatBits } from '../bfloat.js';
import { halfBits, wordsOfAllHalves } from '../half.js';

/** The types by their names in the safetensors format. */
export const WEIGHT_TYPES = ['F32', 'F16', 'BF16'] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

export const WEIGHT_BYTES: Readonly<Record<WeightType, number>> = { F32: 4, F16: 2, BF16: 2 };
/** The largest finite value of each type, for a message. */
export const LARGEST: Readonly<Record<WeightType, string>> = { F32: '3.4e38', F16: '65504', BF16: '3.39e38' };

/** The bits of stored values: 4 bytes each as words, 2 bytes each as halfwords. */
export type StoredBits = Uint32Array | Uint16Array;

export const storedBits = (type: WeightType, count: number): StoredBits =>
  type === 'F32' ? new Uint32Array(count) : new Uint16Array(count);

const EXPONENT: Readonly<Record<WeightType, number>> = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 };

/**
 * Writes the f32 bits of stored values into `words`, which is exact. For F32 `words` may be the same array; `stored`
 * starts at a whole word of its buffer.
 * @returns the index of the first value that is not finite, or -1. If there is one, `words` is not to be used.
 */
export function widen(type: WeightType, stored: StoredBits, words: Uint32Array): number {
  const signed = new Int32Array(words.buffer, words.byteOffset, words.length);
  return widenAll[type](stored, signed) ? -1 : firstNonFinite(type, stored);
}

/** Returns what `widen` returns, without widening; `stored` starts at a whole word of its buffer. */
export function findNonFinite(type: WeightType, stored: StoredBits): number {
  return areFinite(type, stored) ? -1 : firstNonFinite(type, stored);
}

const firstNonFinite = (type: WeightType, stored: StoredBits): number =>
  stored.findIndex(bits => (bits & EXPONENT[type]) === EXPONENT[type]);

/** Widening by type; each function returns whether all values are finite. */
const widenAll: Readonly<Record<WeightType, (stored: StoredBits, words: Int32Array) => boolean>> = {
  F32(stored, words) {
    if (words.buffer !== stored.buffer) words.set(stored);
    return areFinite('F32', stored);
  },
  F16: widenHalves,
  BF16: widenBfloats,
};

/*
 * Two values out of a word, four a turn, signed words, and no way out in between: several times as fast as one by one.
 * Exponents of ones, and one more, carry into the place of the sign.
 */

function areFinite(type: WeightType, stored: StoredBits): boolean {
  const words = new Int32Array(stored.buffer, stored.byteOffset, stored.byteLength >> 2);
  if (type === 'F32') return !carries(words, EXPONENT.F32, 0x00800000, 0x80000000);
  const [exponent, one] = [EXPONENT[type], type === 'F16' ? 0x0400 : 0x0080];
  if (carries(words, exponent * 0x10001, one * 0x10001, 0x80008000)) return false;
  return stored.length % 2 === 0 || (stored.at(-1)! & exponent) !== exponent;
}

/** Whether adding `one` to the exponents of any word carries into one of `signs`. */
function carries(words: Int32Array, exponents: number, one: number, signs: number): boolean {
  let carry = 0;
  for (let i = 0; i < words.length; i++) carry |= (words[i]! & exponents) + one;
  return (carry & signs) !== 0;
}

function widenBfloats(stored: StoredBits, words: Int32Array): boolean {
  const count = stored.length;
  const pairs = new Int32Array(stored.buffer, stored.byteOffset, count >> 1);
  const whole = count & ~3;
  let carry = 0;
  for (let i = 0; i < whole; i += 4) {
    const first = pairs[i >> 1]!;
    const second = pairs[(i >> 1) + 1]!;
    carry |= ((first & 0x7f807f80) + 0x00800080) | ((second & 0x7f807f80) + 0x00800080);
    words[i] = first << 16;
    words[i + 1] = first & 0xffff0000;
    words[i + 2] = second << 16;
    words[i + 3] = second & 0xffff0000;
  }
  for (let i = whole; i < count; i++) {
    carry |= (stored[i]! & 0x7f80) + 0x0080;
    words[i] = stored[i]! << 16;
  }
  return (carry & 0x80008000) === 0;
}

function widenHalves(stored: StoredBits, words: Int32Array): boolean {
  const table = wordsOfAllHalves();
  const count = stored.length;
  const pairs = new Int32Array(stored.buffer, stored.byteOffset, count >> 1);
  const whole = count & ~3;
  let carry = 0;
  for (let i = 0; i < whole; i += 4) {
    const first = pairs[i >> 1]!;
    const second = pairs[(i >> 1) + 1]!;
    carry |= ((first & 0x7c007c00) + 0x04000400) | ((second & 0x7c007c00) + 0x04000400);
    words[i] = table[first & 0xffff]!;
    words[i + 1] = table[first >>> 16]!;
    words[i + 2] = table[second & 0xffff]!;
    words[i + 3] = table[second >>> 16]!;
  }
  for (let i = whole; i < count; i++) {
    carry |= (stored[i]! & 0x7c00) + 0x0400;
    words[i] = table[stored[i]!]!;
  }
  return (carry & 0x80008000) === 0;
}

/**
 * Rounds finite f32 values, given as bits, to the nearest of `type`, ties to even, and stops at the first that is too
 * large for it.
 * @returns the index of that value, or -1.
 */
export function narrow(type: WeightType, words: Uint32Array, stored: StoredBits): number {
  if (type === 'F32') {
    stored.set(words);
    return -1;
  }
  const [round, infinity] = type === 'BF16' ? ([bfloatBits, 0x7f80] as const) : ([halfBits, 0x7c00] as const);
  for (let i = 0; i < words.length; i++) {
    const bits = round(words[i]!);
    if ((bits & 0x7fff) >= infinity) return i;
    stored[i] = bits;
  }
  return -1;
}
