/**
 * Sizes of every kernel: odd ones, single rows, both sides of tile edges, and what models use. The tests and the audit
 * pose the same. Every kernel has a few as long as those of real models, beyond any round number that a loop or an
 * index could end at, and no larger than that takes in the other sizes.
 */
import type { AttentionSizes } from '../kernels/attention-variant.js';
import type { RopeSizes } from '../kernels/rope.js';
import type { RowSizes } from '../kernels/row-variant.js';
import type { StoredType } from '../numerics/inputs.js';
import type { CacheCase } from './cache.js';
import type { EmbeddingCase } from './embedding.js';
import type { HeadNormCase } from './head-norm.js';

/** Rows of numbers as sizes by name. */
const named =
  <Name extends string>(...names: readonly Name[]) =>
  (...rows: readonly (readonly number[])[]) =>
    rows.map(row => Object.fromEntries(names.map((name, i) => [name, row[i]!])) as Readonly<Record<Name, number>>);

export type ProductSizes = Readonly<Record<'M' | 'N' | 'K', number>>;

export const matmulSizes: readonly ProductSizes[] = named('M', 'N', 'K')(
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
);

/**
 * Products of a few rows with weights: of real models, with edges, and rows of weights that are whole loads of 16
 * bytes, of 8, and neither. The longest are beyond a round of every team, the widest beyond 16 bits of columns.
 */
export const fewRowsSizes: readonly ProductSizes[] = named('M', 'N', 'K')(
  [1, 1, 1],
  [1, 576, 1536],
  [1, 33, 8192],
  [2, 1537, 576],
  [3, 131, 2052],
  [5, 67, 577],
  [7, 250, 2050],
  [8, 70, 4096],
  [1, 49_152, 576],
  [8, 65_537, 12],
);

const attention = named('B', 'T', 'H', 'KV', 'D');

export const attentionSizes: readonly AttentionSizes[] = attention(
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
);

/** Contexts, and numbers of query heads to a key/value head, of real models; grouped heads of several sequences. */
export const longAttentionSizes: readonly AttentionSizes[] = attention(
  [2, 70, 8, 1, 8],
  [2, 70, 7, 1, 8],
  [1, 1100, 3, 1, 8],
  [2, 600, 6, 2, 8],
);

/**
 * Documents in windows: odd cuts, some of one row, more to a block of keys than one, and a window that one fills; and
 * what models have, 8 query heads to a key/value head, of which the documents cross every tile. Lengths go over and
 * over.
 */
export const documentSizes: readonly (AttentionSizes & { readonly documents: readonly number[] })[] = [
  { B: 3, T: 70, H: 4, KV: 2, D: 8, documents: [1, 1, 3, 2, 17, 1, 40] },
  { B: 1, T: 131, H: 3, KV: 1, D: 24, documents: [65, 1, 31, 34] },
  { B: 2, T: 33, H: 2, KV: 1, D: 16, documents: [33] },
  { B: 1, T: 1100, H: 3, KV: 1, D: 8, documents: [600, 213, 287] },
];
export const modelDocumentSizes: typeof documentSizes = [
  { B: 1, T: 1024, H: 8, KV: 1, D: 64, documents: [211, 187, 64, 239, 1, 322] },
  { B: 1, T: 1024, H: 8, KV: 1, D: 128, documents: [211, 187, 64, 239, 1, 322] },
];

/**
 * Windows: of one key, of less than a block and more than one, beyond tiles, of all but one; within documents; and one
 * whose edge is a row behind that of blocks, so that some block is there for one row alone.
 */
export const windowSizes: readonly (AttentionSizes & { readonly documents?: readonly number[] })[] = [
  { B: 1, T: 17, H: 2, KV: 1, D: 8, window: 1 },
  { B: 3, T: 70, H: 4, KV: 2, D: 8, window: 9 },
  { B: 1, T: 131, H: 3, KV: 1, D: 24, window: 37 },
  { B: 1, T: 65, H: 2, KV: 2, D: 16, window: 64 },
  { B: 1, T: 300, H: 3, KV: 1, D: 8, window: 150 },
  { B: 3, T: 70, H: 4, KV: 2, D: 8, window: 5, documents: [1, 1, 3, 2, 17, 1, 40] },
  { B: 1, T: 131, H: 8, KV: 1, D: 8, window: 34 },
];

/** Attention of one new position of each sequence: how many positions each has, in a cache of `capacity`. */
export const cacheSizes: readonly Omit<CacheCase, 'type'>[] = [
  { lengths: [1], capacity: 1, H: 1, KV: 1, D: 8 },
  { lengths: [1, 2, 3], capacity: 5, H: 2, KV: 1, D: 8 },
  { lengths: [15, 16, 17], capacity: 17, H: 4, KV: 2, D: 24 },
  { lengths: [33, 7], capacity: 64, H: 3, KV: 3, D: 6 },
  { lengths: [129, 128, 1], capacity: 131, H: 4, KV: 1, D: 64 },
  { lengths: [37], capacity: 40, H: 3, KV: 1, D: 80 },
  { lengths: [20, 131], capacity: 140, H: 2, KV: 2, D: 128 },
];

/** The same over longer contexts, both sides of a tile of the kernel: 128 keys, or as many as a subgroup has lanes. */
export const longCacheSizes: typeof cacheSizes = [
  { lengths: [257, 600, 256], capacity: 600, H: 7, KV: 1, D: 8 },
  { lengths: [600, 257], capacity: 1030, H: 6, KV: 2, D: 8 },
];

export const rowSizes: readonly RowSizes[] = named('rows', 'columns')(
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
);

/** The row sizes that are posed where time is short: one short size in three and, in f32, every long one. */
export const someRowSizes = (remainder: number, type: StoredType): readonly RowSizes[] =>
  rowSizes.filter(({ columns }, i) => (columns > 1024 ? type === 'f32' : i % 3 === remainder));

/**
 * Logits of which one, `peak`, is larger than all others by 100: where a maximum leaves it out, exp overflows. The last
 * one, whole vectors and not; and vocabularies of real models.
 */
export const peakedSizes: readonly (RowSizes & { readonly peak: number })[] = named('rows', 'columns', 'peak')(
  [9, 132, 131],
  [2, 32_000, 31_999],
  [2, 50_257, 50_256],
);

/** Lengths of a sum, to see how its error grows. */
export const sumLengths: readonly number[] = [1, 4, 16, 64, 256, 1024, 4096, 16_384, 65_536];

export const ropeSizes: readonly RopeSizes[] = named('B', 'T', 'heads', 'rowHeads', 'headSize')(
  [1, 1, 1, 1, 2],
  [2, 7, 3, 3, 8],
  [1, 37, 4, 6, 24],
  [2, 131, 1, 1, 80],
  [1, 5, 2, 3, 128],
  [2, 2100, 1, 2, 6],
);

/** Both sides of a part of 8 rows. */
export const headNormSizes: readonly Pick<HeadNormCase, 'rows' | 'H' | 'KV' | 'D'>[] = named('rows', 'H', 'KV', 'D')(
  [1, 1, 1, 6],
  [7, 4, 2, 10],
  [8, 3, 3, 64],
  [65, 3, 1, 64],
  [33, 16, 2, 128],
  [9, 2, 1, 256],
  [260, 8, 1, 10],
);

/** An id more than 600 times, and ids beyond 16 bits, too. */
export const embeddingSizes: readonly EmbeddingCase[] = named('rows', 'entries', 'columns')(
  [1, 1, 1],
  [5, 3, 7],
  [50, 331, 96],
  [300, 4, 33],
  [1300, 2, 9],
  [40, 70_001, 1],
);

/** Elements of kernels that take each by itself: one, and both sides of a workgroup's and of a part's edge. */
export const elementCounts: readonly { readonly count: number }[] = named('count')(
  ...[1, 3, 127, 128, 129, 1000, 16_384, 16_385].map(count => [count]),
);
