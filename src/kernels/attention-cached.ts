/** Attention of one new position over the cache of keys and values. */
import { windowConstants } from './attention.js';
import { type AttentionSizes, rowsAtATime } from './attention-variant.js';
import { type CacheSizes, checkCache, isRing } from './cache-write.js';
import { grid, type KernelCall, kernelCall, type Operand } from './call.js';
import type { ElementType } from './element-type.js';
import { defaultRows, valueConstants } from './row-variant.js';
import { softCapConstants } from './soft-cap.js';
import type { VariantTable } from './variants.js';

/** Keys beyond which a thread would hold more scores than registers. */
const MOST_KEYS = 8;

/**
 * The keys that are taken at a time: where they are few, as many as where the whole sequence is computed, and so to the
 * same bits.
 */
export function keysAtATime(variants: VariantTable, sizes: CacheSizes, type: ElementType): number {
  const { workgroup } = defaultRows(variants.adapter);
  const { capacity, context = capacity } = sizes;
  const whole = { kernel: 'attention_forward', sizes: { ...sizes, T: context }, type } as const;
  return Math.min(workgroup, MOST_KEYS, rowsAtATime(variants.of('attention', whole)));
}

/**
 * qkv [B, H + 2 KV, D] of the position positions[b], which the cache holds already → out [B, H, D]. A ring holds the
 * window at least.
 */
export function attentionCached(
  variants: VariantTable,
  sizes: CacheSizes & Pick<AttentionSizes, 'scale' | 'window' | 'softCap'>,
  operands: Record<'qkv' | 'keys' | 'values' | 'positions' | 'out', Operand>,
): KernelCall[] {
  const { B, capacity, context = capacity, H, KV, D, scale = 1 / Math.sqrt(D), window = context, softCap } = sizes;
  const { qkv, keys, values } = operands;
  checkCache(variants, sizes, [keys, values]);
  const { workgroup: WORKGROUP } = defaultRows(variants.adapter);
  const KEYS = keysAtATime(variants, sizes, qkv.type);
  const call = kernelCall('attention_cached', {
    constants: {
      TYPE: qkv.type,
      ...windowConstants(window, context),
      ...softCapConstants(softCap),
      ...valueConstants(1),
      IS_RING: isRing(sizes),
      HEAD_SIZE: D,
      WORKGROUP,
      CHUNKS: Math.ceil(D / WORKGROUP),
      KEYS,
      TILE: WORKGROUP - (WORKGROUP % KEYS),
    },
    operands,
    params: { H, KV, capacity, scale },
    workgroups: grid('attention_cached', H, B),
  });
  return [call];
}
