/** The variants of attention, and which one an adapter takes where nothing was tuned. */
import type { AdapterDescription } from '../gpu/adapters.js';
import type { ElementType } from './call.js';

/** qkv [B, T, H + 2 KV, D]: queries, keys and values of a position side by side; out [B, T, H, D]. */
export interface AttentionSizes {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
}

export type AttentionKernel = 'attention_forward' | 'attention_backward_query' | 'attention_backward_key_value';

/** Threads of a workgroup, rows that a thread owns, and rows of the other side that are taken at a time. */
export interface AttentionVariant {
  readonly subgroups: boolean;
  readonly workgroup: number;
  readonly own: number;
  readonly rows: number;
}

export function attentionKey(kernel: AttentionKernel, { T, D }: AttentionSizes, type: ElementType): string {
  return `${kernel} ${type} D${D} T${2 ** Math.ceil(Math.log2(T))}`;
}

/** The shipped choice: broadcast within a subgroup where there is a CPU underneath, else workgroup memory. */
export function defaultAttention(adapter: AdapterDescription, kernel: AttentionKernel): AttentionVariant {
  const lanes = adapter.subgroupSize;
  if (adapter.kind !== 'hardware' && [4, 8, 16].includes(lanes)) {
    if (lanes === 4) return { subgroups: true, workgroup: lanes, own: 1, rows: 4 };
    // a key row has twice as much to hold as a query row, and registers run out
    return { subgroups: true, workgroup: lanes, own: kernel === 'attention_backward_key_value' ? 1 : 2, rows: 2 };
  }
  return { subgroups: false, workgroup: 64, own: 1, rows: 8 };
}
