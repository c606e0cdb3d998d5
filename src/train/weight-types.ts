/** The number formats that weights are stored in, and their conversion to and from f32, on bits. */
import { floatsOfHalves } from '../half.js';

/** By the names of the safetensors format. */
export const WEIGHT_TYPES = ['F32', 'F16', 'BF16'] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

export const WEIGHT_BYTES: Readonly<Record<WeightType, number>> = { F32: 4, F16: 2, BF16: 2 };

/** Bits of stored values: 4 bytes each as words, 2 bytes each as halfwords. */
export type StoredBits = Uint32Array | Uint16Array;

export const storedBits = (type: WeightType, count: number): StoredBits =>
  type === 'F32' ? new Uint32Array(count) : new Uint16Array(count);

/** The f32 bits of the subnormal halves and of zero, by their fraction. */
const SUBNORMAL_HALVES = new Int32Array(
  floatsOfHalves(Uint16Array.from({ length: 1024 }, (_, bits) => bits).buffer).buffer,
);

/**
 * Writes the f32 bits of stored values into `words`, which is exact; `stored` starts at a whole word of its buffer.
 * @returns the index of the first that is not finite, and then `words` is not to be used; or -1.
 */
export function widen(type: WeightType, stored: StoredBits, words: Uint32Array): number {
  const count = stored.length;
  if (type === 'F32') {
    for (let i = 0; i < count; i++) {
      if ((stored[i]! & 0x7f800000) === 0x7f800000) return i;
    }
    words.set(stored);
  } else if (type === 'BF16') {
    if (!widenBfloats(stored, words)) return stored.findIndex(bits => (bits & 0x7f80) === 0x7f80);
  } else {
    for (let i = 0; i < count; i++) {
      const bits = stored[i]!;
      const exponent = bits & 0x7c00;
      if (exponent === 0x7c00) return i;
      // 13 bits more of fraction, the exponent's bias 127 in place of 15
      const magnitude = exponent ? ((bits & 0x7fff) << 13) + 0x38000000 : SUBNORMAL_HALVES[bits & 0x3ff]!;
      words[i] = ((bits & 0x8000) << 16) | magnitude;
    }
  }
  return -1;
}

/**
 * Four values a turn, two out of a word, and without leaving early: twice as fast as one by one.
 * @returns whether all are finite.
 */
function widenBfloats(stored: StoredBits, words: Uint32Array): boolean {
  const count = stored.length;
  const pairs = new Int32Array(stored.buffer, stored.byteOffset, count >> 1);
  const whole = count & ~3;
  let carry = 0; // an exponent of ones and one more carries into the sign's place
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

/**
 * Rounds finite f32 values, given as bits, to the nearest of `type`, ties to even, and stops at the first that is too
 * large for it.
 * @returns its index, or -1.
 */
export function narrow(type: WeightType, words: Uint32Array, stored: StoredBits): number {
  if (type === 'F32') {
    stored.set(words);
    return -1;
  }
  const [round, infinity] = type === 'BF16' ? ([bfloatBits, 0x7f80] as const) : ([halfBits, 0x7c00] as const);
  for (let i = 0; i < words.length; i++) {
    const bits = round(words[i]!);
    if ((bits & 0x7fff) === infinity) return i;
    stored[i] = bits;
  }
  return -1;
}

/** A carry out of the fraction goes into the exponent, as the formats are made to, and out of the largest to infinity. */
const bfloatBits = (word: number): number => (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;

function halfBits(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x477ff000) return sign | 0x7c00; // 65520, half way from the largest half to 2^16
  if (magnitude >= 0x38800000) {
    // 2^-14 and up: 13 bits fewer of the fraction, the exponent's bias 15 in place of 127
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
