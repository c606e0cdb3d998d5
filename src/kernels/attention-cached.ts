/** Attention of one new position over the cache of keys and values. */
import { type CacheSizes, checkCache } from './cache-write.js';
import { grid, type KernelCall, kernelCall, type Operand } from './call.js';
import { defaultRows } from './row-variant.js';
import type { VariantTable } from './variants.js';

/** qkv [B, H + 2 KV, D] of the position positions[b], which the cache holds already → out [B, H, D]. */
export function attentionCached(
  variants: VariantTable,
  sizes: CacheSizes,
  operands: Record<'qkv' | 'keys' | 'values' | 'positions' | 'out', Operand>,
): KernelCall[] {
  const { B, capacity, H, KV, D } = sizes;
  const { qkv, keys, values } = operands;
  checkCache(variants, sizes, [keys, values]);
  const { workgroup: WORKGROUP } = defaultRows(variants.adapter);
  // rounding depends on how many keys are taken at a time: as many as where the whole sequence is computed
  const whole = { kernel: 'attention_forward', sizes: { ...sizes, T: capacity }, type: qkv.type } as const;
  const KEYS = Math.min(WORKGROUP, variants.of('attention', whole).rows);
  const call = kernelCall('attention_cached', {
    constants: {
      TYPE: qkv.type,
      HEAD_SIZE: D,
      WORKGROUP,
      CHUNKS: Math.ceil(D / WORKGROUP),
      KEYS,
      TILE: WORKGROUP - (WORKGROUP % KEYS),
    },
    operands,
    params: { H, KV, capacity, scale: 1 / Math.sqrt(D) },
    workgroups: grid('attention_cached', H, B),
  });
  return [call];
}
