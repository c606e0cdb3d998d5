/** The cache of keys and values: writing to it, and attention of one new position over it. */
import { UserError } from '../errors.js';
import { checkIndexable, f32, grid, type KernelCall, kernelCall, type Operand } from './call.js';
import { defaultRows, eachRow } from './row-variant.js';
import type { KernelTable } from './table.js';

/** keys [B, KV, D, capacity] and values [B, KV, capacity, D] of one layer; H query heads share KV. */
export interface CacheSizes {
  readonly B: number;
  /** Positions that it holds. */
  readonly capacity: number;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
}

/** Sequences are not taken apart. @throws UserError when a side of the cache exceeds a binding or 32-bit indices. */
function checkCache(kernels: KernelTable, { B, capacity, KV, D }: CacheSizes, cache: readonly Operand[]): void {
  checkIndexable('cache', B * KV * D * capacity);
  const largest = Math.max(...cache.map(({ sizeBytes }) => sizeBytes));
  if (largest <= kernels.maxBindingBytes) return;
  throw new UserError(
    `keys of ${B} sequence(s) of ${capacity} positions are ${largest} bytes a layer; the adapter binds ` +
      `${kernels.maxBindingBytes} (maxStorageBufferBindingSize). Use a smaller context or batch.`,
  );
}

/** Keys and values of T new positions of each sequence, qkv [B, T, H + 2 KV, D], to positions starts[b] + t. */
export function cacheWrite(
  kernels: KernelTable,
  sizes: CacheSizes & { readonly T: number },
  { qkv, starts, keys, values }: Record<'qkv' | 'starts' | 'keys' | 'values', Operand>,
): KernelCall[] {
  const { B, T, capacity, H, KV, D } = sizes;
  checkIndexable('cache_write', B * T * (H + 2 * KV) * D);
  checkCache(kernels, sizes, [keys, values]);
  const { ROWS, workgroups } = eachRow(kernels.adapter, B * T);
  const holes = { WORKGROUP: 32, ROWS, HEAD_SIZE: D, TYPE: qkv.type };
  const buffers = [qkv, starts, keys, values];
  return [kernelCall('cache_write', holes, buffers, [B * T, T, H, KV, capacity], workgroups)];
}

/** qkv [B, H + 2 KV, D] of the position positions[b], which the cache holds already → out [B, H, D]. */
export function attentionCached(
  kernels: KernelTable,
  sizes: CacheSizes,
  buffers: Record<'qkv' | 'keys' | 'values' | 'positions' | 'out', Operand>,
): KernelCall[] {
  const { B, capacity, H, KV, D } = sizes;
  const { qkv, keys, values, positions, out } = buffers;
  checkCache(kernels, sizes, [keys, values]);
  const { workgroup: WORKGROUP } = defaultRows(kernels.adapter);
  // rounding depends on how many keys are taken at a time: as many as where the whole sequence is computed
  const KEYS = Math.min(WORKGROUP, kernels.attention('attention_forward', { ...sizes, T: capacity }, qkv.type).rows);
  const holes = {
    TYPE: qkv.type,
    HEAD_SIZE: D,
    WORKGROUP,
    CHUNKS: Math.ceil(D / WORKGROUP),
    KEYS,
    TILE: WORKGROUP - (WORKGROUP % KEYS),
  };
  const params = [H, KV, capacity, f32(1 / Math.sqrt(D))];
  const workgroups = grid('attention_cached', H, B);
  return [kernelCall('attention_cached', holes, [qkv, keys, values, positions, out], params, workgroups)];
}
