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
  /** What scores are multiplied by. Default: 1/√D. */
  readonly scale?: number;
  /** How many of the newest keys each query sees, its own among them. Default: all. */
  readonly window?: number | undefined;
  /** What scores are capped at: cap · tanh(score / cap). Default: they are not. */
  readonly softCap?: number | undefined;
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
  /** Shape of a subgroup matrix, [M, N, K]. */
  readonly matrix: readonly [number, number, number];
  readonly subgroupsM: number;
  /** Matrices of M rows that a subgroup owns; in the gradient two subgroups own the same rows. */
  readonly blocks: number;
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

export function attentionKey({ kernel, sizes: { T, D, softCap }, type }: AttentionRequest): string {
  return `${kernel} ${type} D${D} T${bucket(T)}${softCap === undefined ? '' : ' capped'}`;
}

/** How many subgroups own the same rows: in the gradient one for the scores, one for the products with dout. */
export const matrixRoles = (kernel: AttentionKernel) => (kernel === 'attention_forward' ? 1 : 2);

/** How many rows are staged turned for an element of a head: of values; of keys; of queries and of dout. */
export const turnedTiles = (kernel: AttentionKernel) => (kernel === 'attention_backward_key_value' ? 2 : 1);

/** Elements of a row in a tile: whole matrices, for each of those that share dq, and whole chunks. */
export function matrixWidth(kernel: AttentionKernel, { matrix: [, N, K] }: MatrixAttention, D: number): number {
  const unit = Math.max(kernel === 'attention_backward_query' ? 2 * N : N, K, 8);
  return Math.ceil(D / unit) * unit;
}

/** Bytes of workgroup memory, see kernels/lib/attention_rows.wgsl. */
export function matrixBytes(kernel: AttentionKernel, variant: MatrixAttention, D: number): number {
  const { matrix, subgroupsM, blocks, rows } = variant;
  const width = matrixWidth(kernel, variant, D);
  const tile = 2 * matrixRoles(kernel) * rows * (width + 8);
  const turned = 2 * turnedTiles(kernel) * width * (rows + 8);
  const scores = 4 * matrix[0] * blocks * subgroupsM * (rows + 4);
  const statistics = 2 * 4 * rows;
  return tile + turned + scores + statistics;
}

/** The widest heads that a subgroup on matrices holds in its registers, and those of which it holds two blocks. */
const [WIDEST_ON_MATRICES, WIDEST_IN_BLOCKS] = [128, 64];

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
  if (lanes % M !== 0) return undefined;
  const roles = matrixRoles(kernel);
  const rows = Math.max(16, K, N, (4 * lanes * roles) / M);
  const most = Math.max(roles, Math.min(4 * roles, MOST_THREADS / lanes));
  for (const blocks of D > WIDEST_IN_BLOCKS ? [1] : [2, 1]) {
    for (let subgroupsM = most; subgroupsM >= roles; subgroupsM /= 2) {
      const variant = { lanes, matrix, subgroupsM, blocks, rows };
      if (matrixBytes(kernel, variant, D) <= adapter.limits.maxComputeWorkgroupStorageSize!) return variant;
    }
  }
  return undefined;
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
