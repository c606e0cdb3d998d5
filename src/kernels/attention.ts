/** Causal attention: forward, and the two passes of its gradient. */
import type { AdapterDescription } from '../gpu/adapters.js';
import type { BufferRange } from '../gpu/buffer.js';
import { checkIndexable, f32, grid, type KernelCall, kernelCall } from './call.js';

/** q, out [B, T, H, D]; k, v [B, T, KV, D]. */
export interface AttentionSizes {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
}

/** `WORKGROUP` rows a workgroup, and the rows of the other side that are taken at a time. */
export interface AttentionVariant {
  readonly subgroups: boolean;
  readonly workgroup: number;
  readonly rows: number;
}

export function attentionVariant(adapter: AdapterDescription): AttentionVariant {
  const lanes = adapter.subgroupSize;
  if (adapter.kind !== 'hardware' && [4, 8, 16].includes(lanes)) return { subgroups: true, workgroup: lanes, rows: 4 };
  return { subgroups: false, workgroup: 64, rows: 8 };
}

type Name = 'attention_forward' | 'attention_backward_query' | 'attention_backward_key_value';

function call(
  name: Name,
  variant: AttentionVariant,
  sizes: AttentionSizes,
  buffers: readonly BufferRange[],
): KernelCall {
  const { B, T, H, KV, D } = sizes;
  checkIndexable(name, B * T * H * D);
  const LANES = variant.subgroups ? variant.workgroup : D;
  const holes = {
    HEAD_SIZE: D,
    LANES,
    CHUNKS: Math.ceil(D / LANES),
    WORKGROUP: variant.workgroup,
    SUBGROUPS: variant.subgroups,
    KEYS: variant.rows,
    QUERIES: variant.rows,
  };
  const heads = name === 'attention_backward_key_value' ? KV : H;
  const workgroups = grid(name, Math.ceil(T / variant.workgroup), heads, B);
  return kernelCall(name, holes, buffers, [T, H, KV, f32(1 / Math.sqrt(D))], workgroups);
}

export function attentionForward(
  variant: AttentionVariant,
  sizes: AttentionSizes,
  buffers: Record<'q' | 'k' | 'v' | 'out' | 'logsumexp', BufferRange>,
): KernelCall {
  const { q, k, v, out, logsumexp } = buffers;
  return call('attention_forward', variant, sizes, [q, k, v, out, logsumexp]);
}

/** Also writes `delta` [B, H, T], which the other pass reads. */
export function attentionBackwardQuery(
  variant: AttentionVariant,
  sizes: AttentionSizes,
  buffers: Record<'q' | 'k' | 'v' | 'out' | 'logsumexp' | 'dout' | 'dq' | 'delta', BufferRange>,
): KernelCall {
  const { q, k, v, out, logsumexp, dout, dq, delta } = buffers;
  return call('attention_backward_query', variant, sizes, [q, k, v, out, logsumexp, dout, dq, delta]);
}

export function attentionBackwardKeyValue(
  variant: AttentionVariant,
  sizes: AttentionSizes,
  buffers: Record<'q' | 'k' | 'v' | 'logsumexp' | 'delta' | 'dout' | 'dk' | 'dv', BufferRange>,
): KernelCall {
  const { q, k, v, logsumexp, delta, dout, dk, dv } = buffers;
  return call('attention_backward_key_value', variant, sizes, [q, k, v, logsumexp, delta, dout, dk, dv]);
}
