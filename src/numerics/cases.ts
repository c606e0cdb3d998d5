/**
 * Named shapes of every op: odd sizes, single rows, both sides of tile edges, and what models use. The tests and the audit
 * run the same. Every op has a few cases as long as those of real models, beyond any round number that a loop or an index
 * could end at, and no larger than that takes in the other sizes.
 */
import type { AttentionShape } from './attention.js';
import type { StoredType } from './inputs.js';

export interface Case<Shape> {
  readonly name: string;
  readonly shape: Shape;
  readonly flops: number;
  /** Read and written once, f32. */
  readonly bytes: number;
}

const matmulSizes: readonly (readonly [M: number, N: number, K: number])[] = [
  [1, 1, 1],
  [1, 129, 3],
  [17, 1, 65],
  [15, 63, 16],
  [16, 64, 17],
  [17, 65, 15],
  [31, 33, 32],
  [33, 31, 127],
  [64, 64, 64],
  [65, 128, 129],
  [128, 127, 4],
  [37, 250, 96],
  [1030, 9, 15],
  [9, 1030, 17],
];

export const matmulCases: readonly Case<{ readonly M: number; readonly N: number; readonly K: number }>[] =
  matmulSizes.map(([M, N, K]) => ({
    name: `M ${M} N ${N} K ${K}`,
    shape: { M, N, K },
    flops: 2 * M * N * K,
    bytes: 4 * (M * K + K * N + M * N),
  }));

const attentionSizes: readonly (readonly [B: number, T: number, H: number, KV: number, D: number])[] = [
  [2, 1, 1, 1, 8],
  [1, 3, 2, 1, 8],
  [2, 15, 3, 3, 16],
  [1, 16, 4, 2, 24],
  [1, 17, 3, 1, 32],
  [1, 33, 4, 1, 64],
  [1, 65, 2, 2, 16],
  [1, 37, 4, 2, 24],
  [1, 131, 2, 1, 80],
  [1, 18, 1, 1, 96],
  [1, 20, 1, 1, 128],
];

/** Multiply-adds of scores and mixing over the causal half, forward. */
const attentionFlops = ({ B, T, H, D }: AttentionShape): number => 4 * B * H * D * ((T * (T + 1)) / 2);

export const attentionCases: readonly Case<AttentionShape>[] = attentionSizes.map(([B, T, H, KV, D]) => {
  const shape = { B, T, H, KV, D };
  return {
    name: `B ${B} T ${T} heads ${H}/${KV} size ${D}`,
    shape,
    flops: attentionFlops(shape),
    bytes: 4 * B * T * D * (2 * H + 2 * KV),
  };
});

/** Contexts, and numbers of query heads to a key/value head, of real models; grouped heads of several sequences. */
export const longAttentionCases: readonly AttentionShape[] = [
  { B: 2, T: 70, H: 8, KV: 1, D: 8 },
  { B: 2, T: 70, H: 7, KV: 1, D: 8 },
  { B: 1, T: 1100, H: 3, KV: 1, D: 8 },
  { B: 2, T: 600, H: 6, KV: 2, D: 8 },
];

/** Attention of one new position of each sequence: how many positions each has, in a cache of `capacity`. */
export const cacheCases: readonly (readonly [
  lengths: readonly number[],
  capacity: number,
  H: number,
  KV: number,
  D: number,
])[] = [
  [[1], 1, 1, 1, 8],
  [[1, 2, 3], 5, 2, 1, 8],
  [[15, 16, 17], 17, 4, 2, 24],
  [[33, 7], 64, 3, 3, 6],
  [[129, 128, 1], 131, 4, 1, 64],
  [[37], 40, 3, 1, 80],
  [[20, 131], 140, 2, 2, 128],
];

/** The same over longer contexts, both sides of a tile of the kernel: 128 keys, or as many as a subgroup has lanes. */
export const longCacheCases: typeof cacheCases = [
  [[257, 600, 256], 600, 7, 1, 8],
  [[600, 257], 1030, 6, 2, 8],
];

/** [rows, columns] of row-wise ops. */
const rowSizes: readonly (readonly [rows: number, columns: number])[] = [
  [1, 1],
  [1, 96],
  [3, 3],
  [5, 15],
  [7, 17],
  [64, 64],
  [65, 127],
  [129, 33],
  [200, 129],
  [17, 1030],
  [9, 4096],
];

export const rowCases: readonly Case<{ readonly rows: number; readonly columns: number }>[] = rowSizes.map(
  ([rows, columns]) => ({
    name: `${rows} x ${columns}`,
    shape: { rows, columns },
    flops: 4 * rows * columns,
    bytes: 8 * rows * columns,
  }),
);

/** Of the row cases a short one in three and, in f32, every long one: what is posed where time is short. */
export const someRowCases = (remainder: number, type: StoredType): typeof rowCases =>
  rowCases.filter(({ shape }, i) => (shape.columns > 1024 ? type === 'f32' : i % 3 === remainder));

/**
 * [rows, columns] of logits of which one, `peak`, is larger than all others by 100: where a maximum leaves it out,
 * exp overflows. The last one, whole vectors and not; and vocabularies of real models.
 */
export const peakedCases: readonly { readonly rows: number; readonly columns: number; readonly peak: number }[] = [
  { rows: 9, columns: 132, peak: 131 },
  { rows: 2, columns: 32_000, peak: 31_999 },
  { rows: 2, columns: 50_257, peak: 50_256 },
];

/** Lengths of a sum, to see how its error grows. */
export const sumLengths: readonly number[] = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536];

/** [sequences, positions, heads that are rotated, heads of a row, size of a head] */
export const ropeCases: readonly (readonly [
  B: number,
  T: number,
  heads: number,
  rowHeads: number,
  headSize: number,
])[] = [
  [1, 1, 1, 1, 2],
  [2, 7, 3, 3, 8],
  [1, 37, 4, 6, 24],
  [2, 131, 1, 1, 80],
  [1, 5, 2, 3, 128],
  [2, 2100, 1, 2, 6],
];

/** [rows, query heads, key/value heads, size of a head] of norms over heads: both sides of a part of 8 rows. */
export const headNormCases: readonly (readonly [rows: number, H: number, KV: number, D: number])[] = [
  [1, 1, 1, 6],
  [7, 4, 2, 10],
  [8, 3, 3, 64],
  [65, 3, 1, 64],
  [33, 16, 2, 128],
  [9, 2, 1, 256],
  [260, 8, 1, 10],
];

/** [rows, entries of the table, columns]: an id more than 600 times, and ids beyond 16 bits, too. */
export const embeddingCases: readonly (readonly [rows: number, entries: number, columns: number])[] = [
  [1, 1, 1],
  [5, 3, 7],
  [50, 331, 96],
  [300, 4, 33],
  [1300, 2, 9],
  [40, 70_001, 1],
];

/** Elements of ops that take each by itself: one, and both sides of a workgroup's and of a part's edge. */
export const elementCases: readonly number[] = [1, 3, 127, 128, 129, 1000, 16_384, 16_385];
