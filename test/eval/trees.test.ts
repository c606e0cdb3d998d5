/** Trees against their definition: what a row of one is given and sees is what it would be in its sequence alone. */
import { describe, expect, test } from 'vitest';
import { layTrees, type Sequences, treeLength, treesOf } from '../../src/eval/trees.js';
import { BRANCH_ALIGNMENT } from '../../src/kernels/attention.js';
import { Random } from '../../src/random.js';

const random = new Random(1, 'trees');
const ids = (length: number) => Array.from({ length }, () => random.integer(1000));
/** Sequences that share a beginning. */
function question(shared: number, ...more: number[]): { ids: number[] }[] {
  const beginning = ids(shared);
  return more.map(length => ({ ids: [...beginning, ...ids(length)] }));
}

/** Expects that every prediction of every sequence is made by a row that sees the ids before it, and them alone. */
function expectFaithful(sequences: Sequences, mostTokens: number): void {
  const trees = treesOf(sequences, mostTokens);
  expect(trees.flatMap(({ members }) => members)).toEqual(sequences.map((_, i) => i));
  const T = Math.max(...trees.map(tree => treeLength(tree, sequences))) + 5;
  const { ids, positions, spans, rows } = layTrees(trees, sequences, T);
  for (const [n, { members }] of trees.entries()) {
    for (const [i, member] of members.entries()) {
      const own = Array.from(sequences[member]!.ids);
      for (let t = 1; t < own.length; t++) {
        const row = rows[n]![i]!(t);
        const place = row - n * T;
        const [trunk, start] = [spans[2 * row]!, spans[2 * row + 1]!];
        const seen = Array.from({ length: place + 1 }, (_, j) => j).filter(j => j < trunk || j >= start);
        expect(seen.map(j => ids[n * (T + 1) + j])).toEqual(own.slice(0, t));
        expect(ids[n * (T + 1) + place + 1]).toBe(own[t]);
        expect(positions[row]).toBe(t - 1);
        expect([trunk % BRANCH_ALIGNMENT, start % BRANCH_ALIGNMENT]).toEqual([0, 0]);
      }
    }
  }
}

describe('sequences that begin alike', () => {
  test.each([
    ['a long context with choices of any length', question(100, 3, 1, 20, 8, 7)],
    ['one that is all of what is shared', question(33, 4, 0, 9)],
    ['what is shared is a multiple of the alignment', question(32, 5, 6)],
    ['one more than that', question(33, 5, 6)],
    ['questions next to each other', [...question(50, 4, 5), ...question(60, 9, 9, 9), ...question(2, 30, 30)]],
    ['nothing in common', [...question(0, 9, 12), ...question(0, 2)]],
  ])('%s', (_, sequences) => expectFaithful(sequences, 1000));

  test('stay alone where they are too long, the others around them joined', () => {
    const members = (sequences: Sequences, longest: number) =>
      treesOf(sequences, 1000, longest).map(tree => tree.members);
    expect(members(question(50, 4, 9, 5, 5), 55)).toEqual([[0], [1], [2, 3]]);
    expect(members(question(50, 9, 4, 5), 55)).toEqual([[0], [1, 2]]);
    expect(members(question(50, 4, 5, 9), 59)).toEqual([[0, 1, 2]]);
    expect(members(question(50, 4, 5), 53)).toEqual([[0], [1]]);
  });

  test('are joined where that saves tokens and the whole is no more than a batch', () => {
    const members = (sequences: Sequences, most = 1000) => treesOf(sequences, most).map(tree => tree.members);
    expect(members([...question(50, 4, 5), ...question(60, 9, 9, 9)])).toEqual([
      [0, 1],
      [2, 3, 4],
    ]);
    expect(members(question(8, 20, 20))).toEqual([[0], [1]]); // a trunk ends before the last that is shared
    expect(members(question(50, 9, 9, 9), 80)).toEqual([[0, 1], [2]]);
    const sequences = question(60, 9, 9, 9);
    const apart = sequences.reduce((sum, each) => sum + each.ids.length - 1, 0);
    expect(treeLength(treesOf(sequences, 1000)[0]!, sequences)).toBeLessThan(apart / 2);
  });
});
