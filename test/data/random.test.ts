import { describe, expect, test } from 'vitest';
import { Random } from '../../src/random.js';

const sample = (count: number, next: () => number) => Array.from({ length: count }, next);

describe('random numbers', () => {
  test('are the same for the same seed and labels, and others for others', () => {
    const first = (seed: number, ...labels: (string | number)[]) =>
      sample(8, new Random(seed, ...labels).uint32.bind(new Random(seed, ...labels)));
    expect(first(1, 'a')).toEqual(first(1, 'a'));
    const streams = [first(1), first(2), first(1, 'a'), first(1, 'b'), first(1, 'a', 0), first(1, 'a', 1)];
    expect(new Set(streams.map(String)).size).toBe(streams.length);
  });

  test('are uniform in [0, 1), with 53 bits', () => {
    const random = new Random(3);
    const values = sample(100_000, () => random.uniform());
    const buckets = new Array<number>(100).fill(0);
    for (const value of values) buckets[Math.floor(100 * value)]!++;
    // χ² with 99 degrees of freedom: beyond 160 once in 10,000
    expect(buckets.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0)).toBeLessThan(160);
    expect(values.some(value => (value * 2 ** 53) % 2 === 1)).toBe(true);
    expect(values.every(value => value >= 0 && value < 1)).toBe(true);
  });

  test('are normal: moments, tails, and no correlation from one to the next', () => {
    const random = new Random(4);
    const values = sample(200_000, () => random.normal());
    const mean = (f: (value: number, i: number) => number) =>
      values.reduce((sum, v, i) => sum + f(v, i), 0) / values.length;
    // standard errors: 0.0022, 0.0032, 0.0087, 0.022
    expect(Math.abs(mean(v => v))).toBeLessThan(0.01);
    expect(Math.abs(mean(v => v ** 2) - 1)).toBeLessThan(0.015);
    expect(Math.abs(mean(v => v ** 3))).toBeLessThan(0.04);
    expect(Math.abs(mean(v => v ** 4) - 3)).toBeLessThan(0.1);
    expect(Math.abs(mean((v, i) => v * (values[i + 1] ?? 0)))).toBeLessThan(0.01);
    expect(Math.abs(mean(v => (Math.abs(v) > 3 ? 1 : 0)) - 0.0027)).toBeLessThan(0.0006);
    expect(values.every(Number.isFinite)).toBe(true);
  });

  test('permutations hold everything once, and every order comes up', () => {
    const seen = new Map<string, number>();
    for (let seed = 0; seed < 2400; seed++) {
      const order = String(new Random(seed).permutation(4));
      seen.set(order, (seen.get(order) ?? 0) + 1);
    }
    expect(seen.size).toBe(24);
    // χ² with 23 degrees of freedom: beyond 60 once in 10,000
    expect([...seen.values()].reduce((sum, n) => sum + (n - 100) ** 2 / 100, 0)).toBeLessThan(60);
    expect([...new Random(1).permutation(1000)].sort((a, b) => a - b)).toEqual(
      Array.from({ length: 1000 }, (_, i) => i),
    );
  });
});
