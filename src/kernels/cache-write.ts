/** The cache of keys and values, which new positions are written to. */
import { UserError } from '../errors.js';
import { checkIndexable, type KernelCall, kernelCall, type Operand } from './call.js';
import { eachRow } from './row-variant.js';
import type { VariantTable } from './variants.js';

/** keys [B, KV, D, capacity] and values [B, KV, capacity, D] of one layer; H query heads share KV. */
export interface CacheSizes {
  readonly B: number;
  /** Positions that it holds. */
  readonly capacity: number;
  /** Positions that a sequence may have; of more than it holds the newest: it is a ring then. */
  readonly context?: number | undefined;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
}

export const isRing = ({ capacity, context = capacity }: Pick<CacheSizes, 'capacity' | 'context'>): boolean =>
  context > capacity;

/** Sequences are not taken apart. @throws UserError when a side of the cache exceeds a binding or 32-bit indices. */
export function checkCache(
  variants: VariantTable,
  { B, capacity, KV, D }: CacheSizes,
  cache: readonly Operand[],
): void {
  checkIndexable('cache', B * KV * D * capacity);
  const largest = Math.max(...cache.map(({ sizeBytes }) => sizeBytes));
  if (largest <= variants.maxBindingBytes) return;
  throw new UserError(
    `keys of ${B} sequence(s) of ${capacity} positions are ${largest} bytes a layer; the adapter binds ` +
      `${variants.maxBindingBytes} (maxStorageBufferBindingSize). Use a smaller context or batch.`,
  );
}

/**
 * Keys and values of T new positions of each sequence, qkv [B, T, H + 2 KV, D], to positions starts[b] + t. A ring that
 * takes several at once is told the row of each sequence's last: `lastRows` [B].
 */
export function cacheWrite(
  variants: VariantTable,
  sizes: CacheSizes & { readonly T: number },
  {
    qkv,
    starts,
    lastRows,
    keys,
    values,
  }: Record<'qkv' | 'starts' | 'keys' | 'values', Operand> & { readonly lastRows?: Operand | undefined },
): KernelCall[] {
  const { B, T, capacity, H, KV, D } = sizes;
  checkIndexable('cache_write', B * T * (H + 2 * KV) * D);
  checkCache(variants, sizes, [keys, values]);
  const IS_RING = isRing(sizes);
  const HAS_LAST_ROWS = IS_RING && T > 1;
  const { each, workgroups } = eachRow(variants.adapter, B * T);
  const call = kernelCall('cache_write', {
    constants: { WORKGROUP: 32, ...each, HEAD_SIZE: D, TYPE: qkv.type, IS_RING, HAS_LAST_ROWS },
    operands: { qkv, starts, last_rows: HAS_LAST_ROWS ? lastRows : undefined, keys, values },
    params: { rows: B * T, T, H, KV, capacity },
    workgroups,
    rounds: (each.ROWS * KV * D) / 32,
  });
  return [call];
}
