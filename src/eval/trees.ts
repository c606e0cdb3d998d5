/**
 * Joins sequences that begin alike into trees, so that a model computes once what they share. A tree is a trunk and a
 * branch for each sequence.
 */
import { BRANCH_ALIGNMENT } from '../kernels/attention.js';
import { IGNORED_TARGET } from '../kernels/cross-entropy.js';

export interface Tree {
  /** The number of tokens that all of its sequences begin with: a multiple of BRANCH_ALIGNMENT. */
  readonly trunk: number;
  /** The numbers of its sequences. */
  readonly members: readonly number[];
}

/** Sequences by number, with all their ids. The last id is only predicted. */
export type Sequences = readonly { readonly ids: ArrayLike<number> }[];

const aligned = (tokens: number): number => Math.ceil(tokens / BRANCH_ALIGNMENT) * BRANCH_ALIGNMENT;

/** Returns where each branch of a tree begins and, at the end, how many ids the tree has, gaps included. */
function startsOf(tree: Tree, sequences: Sequences): number[] {
  const starts = [tree.trunk];
  for (const [i, member] of tree.members.entries()) {
    const branch = sequences[member]!.ids.length - tree.trunk;
    starts.push(starts[i]! + (i + 1 < tree.members.length ? aligned(branch) : branch));
  }
  return starts;
}

/** Returns the predictions that a tree takes: one fewer than its ids. */
export const treeLength = (tree: Tree, sequences: Sequences): number => startsOf(tree, sequences).at(-1)! - 1;

/**
 * Joins neighbouring sequences where that leaves fewer tokens to compute, and the tree has at most `mostTokens`. A
 * trunk ends before the last shared token, so that each branch predicts its own first token. Sequences of more than
 * `longest` ids stay alone.
 */
export function treesOf(sequences: Sequences, mostTokens: number, longest = Number.POSITIVE_INFINITY): Tree[] {
  const trees: Tree[] = [];
  let shared = 0; // ids that all sequences of the last tree begin with
  for (const [i, { ids }] of sequences.entries()) {
    const alone = { trunk: 0, members: [i] };
    const last = trees.at(-1);
    const common = last && ids.length <= longest ? sharedIds(sequences[last.members[0]!]!.ids, ids, shared) : 0;
    if (last && common > BRANCH_ALIGNMENT) {
      const trunk = aligned(common) - BRANCH_ALIGNMENT;
      const joined = { trunk, members: [...last.members, i] };
      const tokens = treeLength(joined, sequences);
      if (tokens <= mostTokens && tokens < treeLength(last, sequences) + treeLength(alone, sequences)) {
        trees[trees.length - 1] = joined;
        shared = common;
        continue;
      }
    }
    trees.push(alone);
    shared = ids.length <= longest ? ids.length : 0;
  }
  return trees;
}

/** Returns how many ids two sequences begin with alike, at most `most`. */
function sharedIds(a: ArrayLike<number>, b: ArrayLike<number>, most: number): number {
  const end = Math.min(most, a.length, b.length);
  let count = 0;
  while (count < end && a[count] === b[count]) count++;
  return count;
}

/** Trees as a batch: the inputs of a model, and where each sequence's predictions are. */
export interface TreeBatch {
  /** The ids [n, T+1], with IGNORED_TARGET in the gaps. */
  readonly ids: Uint32Array;
  /** The position of each row in its own sequence [n, T]. */
  readonly positions: Uint32Array;
  /** The trunk of each row, and where its branch begins [n, T, 2]. */
  readonly spans: Uint32Array;
  /** A function for each sequence of each tree: it returns the row that predicts id number t, for t from 1 on. */
  readonly rows: readonly (readonly ((t: number) => number)[])[];
}

/** Lays trees of at most T predictions side by side. */
export function layTrees(trees: readonly Tree[], sequences: Sequences, T: number): TreeBatch {
  const ids = new Uint32Array(trees.length * (T + 1)).fill(IGNORED_TARGET);
  const positions = new Uint32Array(trees.length * T);
  const spans = new Uint32Array(trees.length * T * 2);
  const rows = trees.map((tree, n) => {
    const { trunk, members } = tree;
    const starts = startsOf(tree, sequences);
    if (starts.at(-1)! > T + 1) throw new Error(`a tree of ${starts.at(-1)} ids does not fit ${T + 1}`);
    for (let t = 0; t < T; t++) positions[n * T + t] = Math.min(t, trunk);
    return members.map((member, i) => {
      const own = sequences[member]!.ids;
      const start = starts[i]!;
      const end = i + 1 < members.length ? starts[i + 1]! : T;
      if (i === 0) for (let t = 0; t < trunk; t++) ids[n * (T + 1) + t] = own[t]!;
      for (let t = trunk; t < own.length; t++) ids[n * (T + 1) + start + t - trunk] = own[t]!;
      for (let row = start; row < end; row++) {
        if (row - start + trunk < own.length) positions[n * T + row] = row - start + trunk;
        spans.set([trunk, start], 2 * (n * T + row));
      }
      return (t: number) => n * T + (t - 1 < trunk ? t - 1 : start + t - 1 - trunk);
    });
  });
  return { ids, positions, spans, rows };
}
