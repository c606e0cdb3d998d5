/** Fewer combinations, in which every pair of values is still met. */
import { describe, expect, test } from 'vitest';
import { pairwise } from '../../src/audit/pairwise.js';

type Combination = readonly (string | number)[];

const product = (...factors: readonly (readonly (string | number)[])[]): Combination[] =>
  factors.reduce<Combination[]>((made, values) => made.flatMap(one => values.map(value => [...one, value])), [[]]);

/** By another way than the code: two indices and the values there. */
function pairsOf(combinations: readonly Combination[]): Set<string> {
  const pairs = new Set<string>();
  for (const combination of combinations) {
    for (let i = 0; i < combination.length; i++) {
      for (let j = 0; j < i; j++) pairs.add(JSON.stringify([j, i, combination[j], combination[i]]));
    }
  }
  return pairs;
}

describe('pairwise', () => {
  test.each([
    [[2, 2, 2], 4],
    [[3, 3, 3, 3], 9],
    [[4, 3, 3, 2, 2], 12],
  ])('of %j values every pair is met, by few combinations', (counts, least) => {
    const all = product(...counts.map(count => Array.from({ length: count }, (_, i) => i)));
    const chosen = pairwise(all, combination => combination);
    expect(pairsOf(chosen)).toEqual(pairsOf(all));
    expect(chosen.length).toBeGreaterThanOrEqual(least); // no fewer are possible
    expect(chosen.length).toBeLessThanOrEqual(1.5 * least);
    expect(new Set(chosen).size).toBe(chosen.length);
  });

  test('pairs that no combination has are not asked for', () => {
    const all = product(['a', 'b', 'c'], [1, 2, 3], ['x', 'y']).filter(([a, b]) => a !== 'a' || b === 1);
    const chosen = pairwise(all, combination => combination);
    expect(pairsOf(chosen)).toEqual(pairsOf(all));
    expect(chosen.length).toBeLessThan(all.length);
  });

  test('what is there first counts, and stays', () => {
    const all = product([0, 1], [0, 1], [0, 1]);
    const first = [all[3]!, all[5]!];
    const chosen = pairwise(all, combination => combination, first);
    expect(chosen.slice(0, 2)).toEqual(first);
    expect(pairsOf(chosen)).toEqual(pairsOf(all));
    expect(pairwise(all, combination => combination, all)).toEqual(all);
  });
});
