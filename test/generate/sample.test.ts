/** Sampling against distributions worked out by hand. */
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.js';
import { checkSampling, distribution, likeliest, type SamplingSettings, sample } from '../../src/generate/sample.js';
import { Random } from '../../src/random.js';

/** Logits whose softmax at temperature 1 has these shares. */
const logitsOf = (...shares: number[]) => Float32Array.from(shares, Math.log2);
/** Base 2 instead of e: exact logits, and exp(x / (1/ln 2)) = 2^x but for rounding. */
const temperature = 1 / Math.LN2;

function expectDistribution(logits: Float32Array, settings: SamplingSettings, expected: Record<number, number>): void {
  const { ids, probabilities } = distribution(logits, settings);
  expect(ids).toEqual(Object.keys(expected).map(Number));
  for (const [i, probability] of Object.values(expected).entries()) {
    expect(probabilities[i]).toBeCloseTo(probability, 12);
  }
}

describe('distribution', () => {
  const logits = logitsOf(2, 8, 1, 4, 1);

  test('softmax, by id', () => {
    expectDistribution(logits, { temperature }, { 1: 8 / 16, 3: 4 / 16, 0: 2 / 16, 2: 1 / 16, 4: 1 / 16 });
  });

  test('half the temperature squares the odds, twice it takes their root', () => {
    const squares = 4 + 64 + 1 + 16 + 1;
    const half = { 1: 64 / squares, 3: 16 / squares, 0: 4 / squares, 2: 1 / squares, 4: 1 / squares };
    expectDistribution(logits, { temperature: temperature / 2 }, half);
    expectDistribution(logitsOf(16, 4, 1), { temperature: 2 * temperature }, { 0: 4 / 7, 1: 2 / 7, 2: 1 / 7 });
  });

  test('top-k keeps the likeliest and renormalises', () => {
    expectDistribution(logits, { temperature, topK: 2 }, { 1: 8 / 12, 3: 4 / 12 });
    expectDistribution(logits, { temperature, topK: 1 }, { 1: 1 });
    expectDistribution(logits, { temperature, topK: 99 }, { 1: 0.5, 3: 0.25, 0: 0.125, 2: 0.0625, 4: 0.0625 });
  });

  test('of equal tokens at the edge of top-k the lower ids are kept', () => {
    expectDistribution(logits, { temperature, topK: 4 }, { 1: 8 / 15, 3: 4 / 15, 0: 2 / 15, 2: 1 / 15 });
    expectDistribution(logitsOf(1, 1, 1), { temperature, topK: 2 }, { 0: 0.5, 1: 0.5 });
  });

  test('top-p keeps the fewest that reach it', () => {
    expectDistribution(logits, { temperature, topP: 0.5 }, { 1: 1 });
    expectDistribution(logits, { temperature, topP: 0.51 }, { 1: 8 / 12, 3: 4 / 12 });
    expectDistribution(logits, { temperature, topP: 0.75 }, { 1: 8 / 12, 3: 4 / 12 });
    expectDistribution(logits, { temperature, topP: 0.9 }, { 1: 8 / 15, 3: 4 / 15, 0: 2 / 15, 2: 1 / 15 });
    expectDistribution(logits, { temperature, topP: 1e-9 }, { 1: 1 });
  });

  test('top-p is of what top-k left', () => {
    // 8/12 and 4/12 are left: the first alone reaches 0.6, which it would not among all (8/16)
    expectDistribution(logits, { temperature, topK: 2, topP: 0.6 }, { 1: 1 });
    expectDistribution(logits, { temperature, topP: 0.6 }, { 1: 8 / 12, 3: 4 / 12 });
  });

  test('min-p is a share of the likeliest', () => {
    expectDistribution(logits, { temperature, minP: 0.25 }, { 1: 8 / 14, 3: 4 / 14, 0: 2 / 14 });
    expectDistribution(logits, { temperature, minP: 0.26 }, { 1: 8 / 12, 3: 4 / 12 });
    expectDistribution(logits, { temperature, minP: 1 }, { 1: 1 });
    expectDistribution(logits, { temperature, minP: 0 }, { 1: 0.5, 3: 0.25, 0: 0.125, 2: 0.0625, 4: 0.0625 });
  });

  test('min-p sees the temperature', () => {
    // at half the temperature the odds are 64, 16, 4
    expectDistribution(logits, { temperature: temperature / 2, minP: 0.2 }, { 1: 64 / 80, 3: 16 / 80 });
  });

  test('agrees with the definition on a large vocabulary', () => {
    const random = new Random(2);
    const many = Float32Array.from({ length: 5000 }, () => 3 * random.normal());
    const weights = [...many].map((logit, id) => ({ id, weight: Math.exp(logit / 0.8) }));
    weights.sort((a, b) => b.weight - a.weight || a.id - b.id);
    const top = weights.slice(0, 900);
    const total = top.reduce((sum, { weight }) => sum + weight, 0);
    const kept: number[] = [];
    for (let i = 0, sum = 0; sum < 0.8 * total; i++) {
      kept.push(top[i]!.id);
      sum += top[i]!.weight;
    }
    expect(kept.length).toBeGreaterThan(20);
    expect(kept.length).toBeLessThan(850);
    const { ids } = distribution(many, { temperature: 0.8, topK: 900, topP: 0.8 });
    expect(ids).toEqual(kept.sort((a, b) => a - b));
  });

  test('logits of any size', () => {
    expectDistribution(Float32Array.of(1e30, -1e30, 1e30), { temperature: 1 }, { 0: 0.5, 2: 0.5, 1: 0 });
  });

  test('a logit that is not a number is an error', () => {
    expect(() => distribution(Float32Array.of(0, Number.NaN), { temperature: 1 })).toThrow(/token 1 is NaN/);
    expect(() => likeliest(Float32Array.of(Number.POSITIVE_INFINITY))).toThrow(/token 0 is Infinity/);
  });
});

describe('sample', () => {
  test('temperature 0 takes the likeliest, of equal ones the lowest id, and draws nothing', () => {
    const random = new Random(1);
    expect(sample(Float32Array.of(0, 3, 1, 3), { temperature: 0 }, random)).toBe(1);
    expect(random.uint32()).toBe(new Random(1).uint32());
  });

  test('draws as often as the distribution says', () => {
    const random = new Random(5);
    const counts = [0, 0, 0, 0];
    const draws = 20_000;
    for (let i = 0; i < draws; i++) counts[sample(logitsOf(1, 8, 4, 2), { temperature, topK: 3 }, random)]!++;
    expect(counts[0]).toBe(0);
    // five deviations of a binomial count
    for (const [id, p] of [0, 8 / 14, 4 / 14, 2 / 14].entries()) {
      expect(Math.abs(counts[id]! - draws * p)).toBeLessThanOrEqual(5 * Math.sqrt(draws * p * (1 - p)));
    }
  });

  test('one seed gives one sequence', () => {
    const draw = (seed: number) => {
      const random = new Random(seed);
      return Array.from({ length: 20 }, () => sample(logitsOf(1, 1, 1, 1), { temperature }, random));
    };
    expect(draw(7)).toEqual(draw(7));
    expect(draw(7)).not.toEqual(draw(8));
  });
});

describe('settings that make no sense are refused', () => {
  const refused: [SamplingSettings, RegExp][] = [
    [{ temperature: -1 }, /temperature is -1; it must be a number of at least 0/],
    [{ temperature: Number.NaN }, /temperature is NaN/],
    [{ temperature: 1, topK: 0 }, /top-k is 0/],
    [{ temperature: 1, topK: 1.5 }, /top-k is 1.5/],
    [{ temperature: 1, topP: 0 }, /top-p is 0; it must be above 0 and at most 1/],
    [{ temperature: 1, topP: 1.1 }, /top-p is 1.1/],
    [{ temperature: 1, minP: -0.1 }, /min-p is -0.1/],
    [{ temperature: 0, topK: 5 }, /give a temperature above 0/],
  ];
  test.each(refused)('%o', (settings, message) => {
    expect(() => checkSampling(settings)).toThrow(message);
    expect(() => checkSampling(settings)).toThrow(UserError);
  });
});
