/** The codes of moments in 8 bits: those of the paper, by its own construction, and what rounding to them loses. */
import { describe, expect, test } from 'vitest';
import { CODES, codeOf, decodeMoments, encodeMoments } from '../../src/optim/moment-codes.js';
import { Random } from '../../src/random.js';

/**
 * The map of Dettmers et al. (2021) as their bitsandbytes makes it (create_dynamic_map): for each power of ten the
 * means of neighbours among evenly spaced boundaries.
 */
function published(signed: boolean): number[] {
  const values = [0, 1];
  for (let i = 0; i < 7; i++) {
    const parts = 2 ** (signed ? i : i + 1);
    const boundaries = Array.from({ length: parts + 1 }, (_, k) => 0.1 + (0.9 * k) / parts);
    for (let k = 0; k < parts; k++) {
      const mean = (10 ** (i - 6) * (boundaries[k]! + boundaries[k + 1]!)) / 2;
      values.push(mean, ...(signed ? [-mean] : []));
    }
  }
  return values.sort((a, b) => a - b);
}

describe.each([
  ['m', true],
  ['v', false],
] as const)('%s', (name, signed) => {
  test('has the 256 values of the paper, in order', () => {
    const expected = published(signed);
    expect(expected).toHaveLength(256);
    CODES[name].values.forEach((value, code) => {
      expect(Math.abs(value - expected[code]!)).toBeLessThan(1e-15);
    });
  });

  test('each value has its own code, and what lies between has that of a neighbour', () => {
    const { values } = CODES[name];
    values.forEach((value, code) => {
      expect(codeOf(CODES[name], value)).toBe(code);
      const next = values[code + 1];
      if (next === undefined) return;
      const between = codeOf(CODES[name], value + 0.37 * (next - value));
      expect([code, code + 1]).toContain(between);
    });
  });
});

test('a variance that is not 0 has a code that is not 0, and a mean below the least power of ten has that of 0', () => {
  expect(codeOf(CODES.v, 1e-12)).toBe(1);
  expect(codeOf(CODES.v, 0)).toBe(0);
  expect(codeOf(CODES.m, 0.9e-7)).toBe(127);
  expect(codeOf(CODES.m, -0.9e-7)).toBe(127);
});

test('moments that were rounded keep their values when they are rounded again, but for a largest mean below 0', () => {
  const random = new Random(1);
  const count = 1001; // the last block is not full, nor are its last four elements
  const values = () => Float32Array.from({ length: count }, () => (random.uniform() - 0.4) * 10 ** -random.integer(6));
  const given = { m: values(), v: values().map(Math.abs) };
  for (let first = 0; first < count; first += 256) given.m[first] = 2;
  given.m.fill(0, 256, 512);
  const once = decodeMoments(encodeMoments(given), count);
  expect(once.m.subarray(256, 512).every(value => value === 0)).toBe(true);
  expect(decodeMoments(encodeMoments(once), count)).toEqual(once);
  for (const name of ['m', 'v'] as const) {
    once[name].forEach((value, i) => {
      const block = given[name].slice(i - (i % 256), i - (i % 256) + 256).map(Math.abs);
      const most = Math.max(...block);
      // half a part: 0.9 / 2^b of its power of ten, of 2^6 and 2^7 parts in the largest, of one and two in the least
      const share = Math.abs(given[name][i]!) / (most || 1);
      const power = Math.min(0, Math.floor(Math.log10(share)) + 1);
      const part = (0.9 * 10 ** power) / 2 ** ((name === 'm' ? 6 : 7) + power);
      const half = share < 1e-7 ? 0.6e-6 : part / 2;
      expect(Math.abs(value - given[name][i]!)).toBeLessThan(most * half * (1 + 1e-6) + 1e-30);
    });
  }
});
