/**
 * The cache of keys and values that generation keeps on the device. It has no gradient: nothing is trained through it.
 */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { attentionCached } from '../kernels/attention-cached.js';
import type { AttentionSizes } from '../kernels/attention-variant.js';
import { type CacheSizes, cacheWrite } from '../kernels/cache-write.js';

/** The cache of one layer: keys [B, KV, D, capacity], values [B, KV, capacity, D]; both persistent and of one type. */
export interface KeyValueCache {
  readonly keys: Tensor;
  readonly values: Tensor;
}

function expectCache(op: string, { keys, values }: KeyValueCache, { B, capacity, KV, D }: CacheSizes): void {
  expectShape(op, 'keys', keys, [B, KV, D, capacity]);
  expectShape(op, 'values', values, [B, KV, capacity, D]);
}

/**
 * Overwrites the cache at positions starts[b] + t by the keys and values of qkv [B*T, (H + 2 KV)*D]; starts is [B]. A
 * ring that takes several positions at once needs `lastRows` [B], the rows of qkv behind which there is only padding.
 */
export function writeKeysAndValues(
  graph: Graph,
  qkv: Tensor,
  starts: Tensor,
  cache: KeyValueCache,
  sizes: CacheSizes & { readonly T: number },
  lastRows?: Tensor,
): void {
  const { B, T, H, KV, D } = sizes;
  const { keys, values } = cache;
  expectShape('cache_write', 'qkv', qkv, [B * T, (H + 2 * KV) * D]);
  expectShape('cache_write', 'starts', starts, [B]);
  if (lastRows) expectShape('cache_write', 'lastRows', lastRows, [B]);
  expectCache('cache_write', cache, sizes);
  graph.add({
    op: 'cache_write',
    inputs: [qkv, starts, ...(lastRows ? [lastRows] : [])],
    outputs: [],
    updates: [keys, values],
    launch: (variants, bind) =>
      cacheWrite(variants, sizes, {
        qkv: bind(qkv),
        starts: bind(starts),
        lastRows: lastRows && bind(lastRows),
        keys: bind(keys),
        values: bind(values),
      }),
  });
}

/**
 * Returns what the newest token of each sequence attends to [B, H*D], the same bits as a row of `attention`. Row b of
 * qkv [B, (H + 2 KV)*D] is at positions[b] of sequence b; the cache holds its key and value already.
 */
export function cachedAttention(
  graph: Graph,
  qkv: Tensor,
  positions: Tensor,
  cache: KeyValueCache,
  sizes: CacheSizes & Pick<AttentionSizes, 'scale' | 'window' | 'softCap'>,
): Tensor {
  const { B, H, KV, D } = sizes;
  const { keys, values } = cache;
  expectShape('attention_cached', 'qkv', qkv, [B, (H + 2 * KV) * D]);
  expectShape('attention_cached', 'positions', positions, [B]);
  expectCache('attention_cached', cache, sizes);
  return graph.add({
    op: 'attention_cached',
    inputs: [qkv, keys, values, positions],
    outputs: [{ shape: [B, H * D], dtype: qkv.dtype }],
    launch: (variants, bind, [out]) =>
      attentionCached(variants, sizes, {
        qkv: bind(qkv),
        keys: bind(keys),
        values: bind(values),
        positions: bind(positions),
        out: bind(out!),
      }),
  })[0]!;
}
