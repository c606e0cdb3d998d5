/** Causal attention: forward, and the two passes of its gradient. */
import type { AttentionKernel, AttentionSizes, AttentionVariant } from './attention-variant.js';
import { checkIndexable, f32, grid, type KernelCall, kernelCall, type Operand } from './call.js';
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
  const heads = kernel === 'attention_backward_key_value' ? KV : H;
  const workgroups = grid(kernel, Math.ceil(T / (variant.workgroup * variant.own)), heads, B);
  return kernelCall(kernel, holes, buffers, [T, H, KV, f32(1 / Math.sqrt(D))], workgroups);
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
  const variant = kernels.attention('attention_forward', sizes, qkv.type);
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
