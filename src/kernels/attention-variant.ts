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

/** Rows in the registers of threads. */
export interface RegisterAttention {
  /** Whether the other side's rows come by broadcast within a subgroup, or through workgroup memory. */
  readonly subgroups: boolean;
  readonly workgroup: number;
  /** Rows that a thread owns. */
  readonly own: number;
  /** Rows of the other side that are taken at a time. */
  readonly rows: number;
}

/** Rows in subgroup matrices, of f16 alone. */
export interface MatrixAttention {
  readonly lanes: number;
  /** Shape of a subgroup matrix, [M, N, K]; a subgroup owns M rows. */
  readonly matrix: readonly [number, number, number];
  readonly subgroupsM: number;
  readonly rows: number;
}

export type AttentionVariant = RegisterAttention | MatrixAttention;

export const isOnMatrices = (variant: AttentionVariant): variant is MatrixAttention => 'matrix' in variant;

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

/**
 * The shipped choice without matrices: broadcast within a subgroup where there is a CPU underneath, else workgroup
 * memory.
 */
export function defaultAttention(adapter: AdapterDescription, kernel: AttentionKernel): RegisterAttention {
  const lanes = defaultLanes(adapter);
  if (adapter.kind !== 'hardware' && [4, 8, 16].includes(lanes)) {
    if (lanes === 4) return { subgroups: true, workgroup: lanes, own: 1, rows: 4 };
    // more rows at a time spare the forward pass corrections of its sums; the gradients have more to hold
    return { subgroups: true, workgroup: lanes, own: 2, rows: kernel === 'attention_forward' ? 4 : 2 };
  }
  return { subgroups: false, workgroup: 64, own: 1, rows: 8 };
}
