/** The variants of attention, and which one an adapter takes where nothing was tuned. */
import type { AdapterDescription } from '../gpu/adapters.js';
import { bucket } from './bucket.js';
import type { ElementType } from './element-type.js';
import { defaultLanes } from './lanes.js';
import { matrixShapes } from './matmul-variant.js';

/** qkv [B, T, H + 2 KV, D]: queries, keys and values of a position side by side; out [B, T, H, D]. */
export interface AttentionSizes {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
}

export type AttentionKernel = 'attention_forward' | 'attention_backward_query' | 'attention_backward_key_value';

/** Whole rows in the registers of threads; those of the other side come by broadcast within a subgroup. */
export interface RegisterAttention {
  readonly lanes: number;
  /** Rows that a thread owns. */
  readonly own: number;
  /** Rows of the other side that are taken at a time. */
  readonly rows: number;
}

/** Tiles of scores and of sums in the registers of a workgroup's threads, which share operands in its memory. */
export interface TiledAttention {
  /** Threads along the rows that a workgroup owns, each of which has four of them. */
  readonly threadsM: number;
  /** Threads along the other side's rows, and along the head. */
  readonly threadsN: number;
  /** Vectors of four of the other side's rows that a thread has at a time. */
  readonly blocks: number;
  /** Elements of the inner dimension that are in workgroup memory at a time. */
  readonly depth: number;
}

/** Rows in subgroup matrices, of f16 alone. */
export interface MatrixAttention {
  readonly lanes: number;
  /** Shape of a subgroup matrix, [M, N, K]; a subgroup owns M rows. */
  readonly matrix: readonly [number, number, number];
  readonly subgroupsM: number;
  readonly rows: number;
}

export type AttentionVariant = RegisterAttention | TiledAttention | MatrixAttention;

export const isOnMatrices = (variant: AttentionVariant): variant is MatrixAttention => 'matrix' in variant;
export const isTiled = (variant: AttentionVariant): variant is TiledAttention => 'threadsM' in variant;

/** Rows of the other side that are taken at a time. */
export const rowsAtATime = (variant: AttentionVariant): number =>
  isTiled(variant) ? 4 * variant.threadsN * variant.blocks : variant.rows;

/** Bytes of workgroup memory, see kernels/lib/attention_tiles.wgsl. */
export function tiledBytes({ threadsM, threadsN, blocks, depth }: TiledAttention, D: number): number {
  const tile = depth * Math.max(threadsM + threadsN * blocks, threadsN * vectorsOf(threadsN, D));
  return 16 * (tile + 4 * threadsN * blocks * threadsM);
}

/** Vectors of four of a head's elements that each thread along the head has. */
export const vectorsOf = (threadsN: number, D: number): number => Math.ceil(D / (4 * threadsN));

/** What decides which variant is best. */
export interface AttentionRequest {
  readonly kernel: AttentionKernel;
  readonly sizes: AttentionSizes;
  readonly type: ElementType;
}

export function attentionKey({ kernel, sizes: { T, D }, type }: AttentionRequest): string {
  return `${kernel} ${type} D${D} T${bucket(T)}`;
}

/** Rows of queries or keys that a workgroup on matrices owns. */
const MATRIX_OWN = 64;
/** The widest heads that a subgroup on matrices holds in its registers, and those whose dk and dv it holds too. */
const [WIDEST_ON_MATRICES, WIDEST_SUMS] = [128, 64];

/** Whether a subgroup has too few registers for the sums of its rows, so that two of them own the same rows. */
export const areSumsShared = (kernel: AttentionKernel, D: number): boolean =>
  kernel === 'attention_backward_key_value' && D > WIDEST_SUMS;

/**
 * The shipped choice for halves on a GPU with subgroup matrices, of heads that are not too wide. By Mesa's compilers
 * for RDNA3, RDNA4 and Ampere nothing spills with these numbers at heads of 64 and of 128, and a quarter to a half of
 * the subgroups that a GPU has room for run at once: more rows at a time take more registers and workgroup memory.
 */
export function matrixAttention(
  adapter: AdapterDescription,
  { kernel, sizes: { D }, type }: AttentionRequest,
): MatrixAttention | undefined {
  const [matrix] = matrixShapes(adapter);
  if (adapter.kind !== 'hardware' || !matrix || type !== 'f16' || D > WIDEST_ON_MATRICES) return undefined;
  const [M, N, K] = matrix;
  const lanes = defaultLanes(adapter);
  const share = areSumsShared(kernel, D) ? 2 : 1;
  if (lanes % M !== 0) return undefined;
  const rows = Math.max(16, K, N * share, (4 * lanes * share) / M);
  return { lanes, matrix, subgroupsM: MATRIX_OWN / M, rows };
}

/** Threads that every adapter allows a workgroup. */
const MOST_THREADS = 256;

/**
 * The shipped choice without matrices: broadcast within a subgroup where there is a CPU underneath, else tiles in
 * registers. Whole rows take more registers than a GPU has: at heads of 64 its compilers spilled hundreds of them.
 */
export function defaultAttention(
  adapter: AdapterDescription,
  { kernel, sizes: { D } }: Pick<AttentionRequest, 'kernel' | 'sizes'>,
): RegisterAttention | TiledAttention {
  const lanes = defaultLanes(adapter);
  if (adapter.kind !== 'hardware' && [4, 8, 16].includes(lanes)) {
    if (lanes === 4) return { lanes, own: 1, rows: 4 };
    // more rows at a time spare the forward pass corrections of its sums; the gradients have more to hold
    return { lanes, own: 2, rows: kernel === 'attention_forward' ? 4 : 2 };
  }
  return tiles(adapter, kernel, D);
}

/**
 * A workgroup's threads lie along the head so that each has two vectors of its row, or one where there are two sums of
 * them: what GPUs with the fewest registers hold without spilling. Then as many rows as threads and memory allow.
 */
function tiles({ limits }: AdapterDescription, kernel: AttentionKernel, D: number): TiledAttention {
  const vectors = kernel === 'attention_backward_key_value' ? 1 : 2;
  const threadsN = Math.max(8, Math.ceil(D / (4 * vectors)));
  for (const threadsM of [16, 8, 4, 2]) {
    for (const depth of [16, 8, 4]) {
      const tile = { threadsM, threadsN, blocks: 1, depth };
      const fits = threadsM * threadsN <= MOST_THREADS && tiledBytes(tile, D) <= limits.maxComputeWorkgroupStorageSize!;
      if (fits && (4 * threadsN) % depth === 0) return tile;
    }
  }
  return { threadsM: 1, threadsN, blocks: 1, depth: 4 };
}
