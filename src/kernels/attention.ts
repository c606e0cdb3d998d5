/** Causal attention: forward, and the two passes of its gradient. */
import {
  type AttentionKernel,
  type AttentionSizes,
  type AttentionVariant,
  defaultAttention,
  isOnMatrices,
  type MatrixAttention,
} from './attention-variant.js';
import { checkIndexable, f32, grid, type KernelCall, kernelCall, type Operand } from './call.js';
import { valueType } from './row-variant.js';
import type { Holes } from './source.js';
import { rowsWithin } from './split.js';
import type { KernelTable } from './table.js';

/** One kernel with a given variant; `buffers` in binding order, the first is qkv. */
export function attentionCall(
  kernel: AttentionKernel,
  variant: AttentionVariant,
  { B, T, H, KV, D }: AttentionSizes,
  buffers: readonly Operand[],
): KernelCall {
  checkIndexable(kernel, B * T * (H + 2 * KV) * D);
  const heads = kernel === 'attention_backward_key_value' ? KV : H;
  const params = [T, H, KV, f32(1 / Math.sqrt(D))];
  if (isOnMatrices(variant)) {
    const workgroups = grid(kernel, Math.ceil(T / (variant.subgroupsM * variant.matrix[0])), heads, B);
    return kernelCall(`${kernel}_matrix`, matrixHoles(variant, D), buffers, params, workgroups);
  }
  const BRANCHES = kernel === 'attention_forward' && buffers.length === 4;
  const LANES = variant.subgroups ? variant.workgroup : D;
  const holes = {
    TYPE: buffers[0]!.type,
    HEAD_SIZE: D,
    LANES,
    CHUNKS: Math.ceil(D / LANES),
    WORKGROUP: variant.workgroup,
    OWN: variant.own,
    SUBGROUPS: variant.subgroups,
    KEYS: variant.rows,
    QUERIES: variant.rows,
    BRANCHES,
  };
  const workgroups = grid(kernel, Math.ceil(T / (variant.workgroup * variant.own)), heads, B);
  return kernelCall(kernel, holes, buffers, params, workgroups);
}

/** Elements of a row in a tile: whole matrices and whole chunks. */
export const matrixWidth = ({ matrix: [, N, K] }: MatrixAttention, D: number): number => {
  const unit = Math.max(N, K, 8);
  return Math.ceil(D / unit) * unit;
};

function matrixHoles(variant: MatrixAttention, D: number): Holes {
  const { lanes: LANES, subgroupsM: SUBGROUPS, rows: ROWS } = variant;
  const [MATRIX_M, MATRIX_N, MATRIX_K] = variant.matrix;
  const WIDTH = matrixWidth(variant, D);
  const VECTOR = D % 4 === 0 ? 4 : 1;
  return {
    HEAD_SIZE: D,
    LANES,
    SUBGROUPS,
    MATRIX_M,
    MATRIX_N,
    MATRIX_K,
    ROWS,
    ROW_MATRICES: ROWS / MATRIX_N,
    ROW_STEPS: ROWS / MATRIX_K,
    WIDTH,
    WIDTH_MATRICES: WIDTH / MATRIX_N,
    WIDTH_STEPS: WIDTH / MATRIX_K,
    VECTOR,
    IS_VECTOR: VECTOR > 1,
    CHUNK: valueType('f16', VECTOR),
  };
}

function call(
  kernels: KernelTable,
  kernel: AttentionKernel,
  sizes: AttentionSizes,
  buffers: readonly [qkv: Operand, ...others: Operand[]],
): KernelCall[] {
  const { B, T, H, KV, D } = sizes;
  rowsWithin(kernels.maxBindingBytes, buffers[0], (H + 2 * KV) * D, B * T); // sequences are not taken apart
  const variant = kernels.attention(kernel, sizes, buffers[0].type);
  return [attentionCall(kernel, variant, sizes, buffers)];
}

/** `logsumexp` [B, H, T] is kept for the gradient. */
export function attentionForward(
  kernels: KernelTable,
  sizes: AttentionSizes,
  { qkv, out, logsumexp }: Record<'qkv' | 'out' | 'logsumexp', Operand>,
): KernelCall[] {
  return call(kernels, 'attention_forward', sizes, [qkv, out, logsumexp]);
}

/** What a trunk and its branches begin at multiples of: no more keys are taken at a time. */
export const BRANCH_ALIGNMENT = 8;

/** Over sequences that begin alike: `branches` [B, T, 2], see kernels/attention_forward.wgsl. */
export function attentionBranches(
  kernels: KernelTable,
  sizes: AttentionSizes,
  { qkv, out, logsumexp, branches }: Record<'qkv' | 'out' | 'logsumexp' | 'branches', Operand>,
): KernelCall[] {
  const { B, T, H, KV, D } = sizes;
  rowsWithin(kernels.maxBindingBytes, qkv, (H + 2 * KV) * D, B * T); // sequences are not taken apart
  const tuned = kernels.attention('attention_forward', sizes, qkv.type);
  const variant = isOnMatrices(tuned) ? defaultAttention(kernels.adapter, 'attention_forward') : tuned; // no such form there
  const aligned = { ...variant, rows: Math.min(variant.rows, BRANCH_ALIGNMENT) };
  return [attentionCall('attention_forward', aligned, sizes, [qkv, out, logsumexp, branches])];
}

/** Writes the queries' part of `dqkv`, and `delta` [B, H, T], which the other pass reads. */
export function attentionBackwardQuery(
  kernels: KernelTable,
  sizes: AttentionSizes,
  buffers: Record<'qkv' | 'out' | 'logsumexp' | 'dout' | 'dqkv' | 'delta', Operand>,
): KernelCall[] {
  const { qkv, out, logsumexp, dout, dqkv, delta } = buffers;
  return call(kernels, 'attention_backward_query', sizes, [qkv, out, logsumexp, dout, dqkv, delta]);
}

/** Writes the keys' and values' part of `dqkv`. */
export function attentionBackwardKeyValue(
  kernels: KernelTable,
  sizes: AttentionSizes,
  buffers: Record<'qkv' | 'logsumexp' | 'delta' | 'dout' | 'dqkv', Operand>,
): KernelCall[] {
  const { qkv, logsumexp, delta, dout, dqkv } = buffers;
  return call(kernels, 'attention_backward_key_value', sizes, [qkv, logsumexp, delta, dout, dqkv]);
}
