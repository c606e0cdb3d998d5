/**
 * Conversions between f32, f16 and bf16, against every value of the small formats and against arithmetic in float64.
 */
import { expect, test } from 'vitest';
import { findNonFinite, narrow, storedBits, type WeightType, widen } from '../../src/checkpoint/weight-types.js';
import { halvesOf } from '../../src/half.js';
import { Random } from '../../src/random.js';

const wordsOf = (values: readonly number[]) => new Uint32Array(Float32Array.from(values).buffer);
function narrowed(type: WeightType, values: readonly number[]): { bits: number[]; tooLarge: number } {
  const bits = storedBits(type, values.length);
  const tooLarge = narrow(type, wordsOf(values), bits);
  return { bits: [...bits], tooLarge };
}
function widened(type: WeightType, bits: readonly number[]): number[] {
  const words = new Uint32Array(bits.length);
  expect(widen(type, Uint16Array.from(bits), words)).toBe(-1);
  return [...new Float32Array(words.buffer)];
}

const LAYOUT = { F16: { fractionBits: 10, bias: 15 }, BF16: { fractionBits: 7, bias: 127 } } as const;
type Small = keyof typeof LAYOUT;

/** The value of finite bits, by the definition of the format. */
function exactValue(type: Small, bits: number): number {
  const { fractionBits, bias } = LAYOUT[type];
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits & 0x7fff) >> fractionBits;
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  return sign * (exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias));
}

const infinity = (type: Small) => (type === 'F16' ? 0x7c00 : 0x7f80);
const finite = (type: Small) =>
  Array.from({ length: 65536 }, (_, bits) => bits).filter(bits => (bits & 0x7fff) < infinity(type));

test.each(['F16', 'BF16'] as const)('%s: every finite value widens exactly, and narrows back to its bits', type => {
  const bits = finite(type);
  const values = widened(type, bits);
  values.forEach((value, i) => {
    if (!Object.is(value, exactValue(type, bits[i]!)))
      expect(value, `bits ${bits[i]}`).toBe(exactValue(type, bits[i]!));
  });
  expect(narrowed(type, values)).toEqual({ bits, tooLarge: -1 });
});

test.each(['F16', 'BF16'] as const)('%s: between two neighbours the nearer is taken, half way the even one', type => {
  const positive = finite(type).filter(bits => bits < 0x8000);
  const nudge = (value: number, by: 1 | -1) => {
    const word = wordsOf([value]);
    word[0] = word[0]! + by;
    return new Float32Array(word.buffer)[0]!;
  };
  for (let i = 0; i + 1 < positive.length; i++) {
    const [below, above] = [exactValue(type, positive[i]!), exactValue(type, positive[i + 1]!)];
    const middle = (below + above) / 2; // exact in f32, but for half of the smallest bf16: f32 goes as far down
    const even = positive[i]! % 2 === 0 ? positive[i]! : positive[i + 1]!;
    const { bits } = narrowed(type, [middle, nudge(middle, -1), nudge(middle, 1), -middle]);
    const expected = [even, positive[i]!, positive[i + 1]!, 0x8000 | even];
    if (bits.join() !== expected.join()) expect(bits, `about ${middle}`).toEqual(expected);
  }
});

test('F16: random values of all sizes are rounded as by arithmetic in float64', () => {
  const random = new Random(1, 'halves');
  const values = Array.from({ length: 50_000 }, () =>
    Math.fround((random.uniform() - 0.5) * 2 ** (40 * random.uniform() - 26)),
  );
  expect(narrowed('F16', values)).toEqual({ bits: [...halvesOf(values)], tooLarge: -1 });
});

test('what rounds to infinity is found, and what just does not is kept', () => {
  expect(narrowed('F16', [1, 65519.99, 65520])).toMatchObject({ bits: [0x3c00, 0x7bff, 0], tooLarge: 2 });
  expect(narrowed('F16', [-65536]).tooLarge).toBe(0);
  const largest = 2 ** 127 * (2 - 2 ** -7);
  expect(narrowed('BF16', [largest, largest + 2 ** 119 - 2 ** 104, -(largest + 2 ** 119)])).toMatchObject({
    bits: [0x7f7f, 0x7f7f, 0],
    tooLarge: 2,
  });
  expect(narrowed('F32', [3e38, -0]).tooLarge).toBe(-1);
});

test.each([
  ['F16', [0x3c00, 0x7c00]],
  ['F16', [0x3c00, 0xfe01]],
  ['BF16', [0x3f80, 0x7f80]],
  ['BF16', [0x3f80, 0xffc1]],
] as const)('%s: the first infinity or NaN is found', (type, bits) => {
  expect(widen(type, Uint16Array.from(bits), new Uint32Array(2))).toBe(1);
  for (let at = 0; at < 9; at++) {
    const stored = new Uint16Array(9).fill(infinity(type) - 1); // the largest finite value all around
    stored[at] = bits[1];
    expect(widen(type, stored, new Uint32Array(9))).toBe(at);
  }
});

test.each(['F16', 'BF16'] as const)('%s: checking alone finds of every pattern what widening finds', type => {
  const words = new Uint32Array(7);
  for (let bits = 0; bits < 65536; bits++) {
    const stored = new Uint16Array(7).fill(infinity(type) - 1);
    stored[bits % 7] = bits; // in either half of a word, and alone in the last
    const found = findNonFinite(type, stored);
    if (found !== widen(type, stored, words)) expect(found, `bits ${bits}`).toBe(widen(type, stored, words));
    if (found >= 0 !== (bits & 0x7fff) >= infinity(type)) expect(found, `bits ${bits}`).toBe('the other');
  }
});

test('F32: the first infinity or NaN is found, and finite bits are kept', () => {
  const words = wordsOf([1, -0, 3e38, 1e-45]);
  const copy = new Uint32Array(4);
  expect(widen('F32', words, copy)).toBe(-1);
  expect(copy).toEqual(words);
  expect(widen('F32', words, words)).toBe(-1);
  expect(words).toEqual(copy);
  expect(widen('F32', wordsOf([1, Number.NEGATIVE_INFINITY]), new Uint32Array(2))).toBe(1);
  expect(widen('F32', wordsOf([Number.NaN]), new Uint32Array(1))).toBe(0);
  expect(findNonFinite('F32', words)).toBe(-1);
  expect(findNonFinite('F32', wordsOf([1, 2, Number.NaN]))).toBe(2);
});
