/** The cache of keys and values: what is written to it, and attention of one position over it. */
import { attentionCached } from '../kernels/attention-cached.js';
import { cacheWrite, isRing } from '../kernels/cache-write.js';
import { attention } from '../numerics/attention.js';
import { attentionBounds } from '../numerics/attention-bounds.js';
import { type InputClass, inputValues, type StoredType } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import { sideBySide } from '../numerics/side-by-side.js';
import { ATTENTION_CLASSES, largestOf, showScale, showSoftCap, showWindow } from './attention.js';
import { type Case, drawn, type Expected, Input, kernelCase, type Output, words } from './case.js';

export interface CacheCase {
  /** Positions that each sequence has. */
  readonly lengths: readonly number[];
  readonly capacity: number;
  /** Positions that a sequence may have, where the cache is a ring of fewer; a window is no more than it holds. */
  readonly context?: number | undefined;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
  /** What scores are multiplied by: default 1/√D. */
  readonly scale?: number | undefined;
  /** What scores are capped at: default nothing. */
  readonly softCap?: number | undefined;
  /** How many of the newest positions are seen: default all. */
  readonly window?: number | undefined;
  readonly type: StoredType;
  readonly inputClass?: InputClass;
}

const labelOf = ({ lengths, capacity, H, KV, D, inputClass = 'uniform' }: CacheCase): string =>
  `${inputClass} ${[lengths, capacity, H, KV, D]}`;

const showRing = (given: CacheCase): string => (isRing(given) ? ` in a ring, of ${given.context}` : '');

/** T new positions of each sequence, the last of which is the last of its length: those of short ones begin at 0. */
export function cacheWriteCase(given: CacheCase & { readonly T: number }): Case {
  const { lengths, capacity, context, H, KV, D, T, type, inputClass = 'uniform' } = given;
  const B = lengths.length;
  const width = (H + 2 * KV) * D;
  const starts = lengths.map(length => Math.max(0, length - T));
  const count = B * KV * D * capacity;
  const isNew = (b: number, position: number) => position >= starts[b]! && position < starts[b]! + T;
  /** The position at a place: in a ring the newest of those that stand there. */
  const positionAt = (b: number, place: number) => {
    const last = lengths[b]! - 1;
    return isRing(given) ? last - ((last - place + capacity * lengths[b]!) % capacity) : place;
  };
  /** Sequence, head, dimension and position of an element of either side. */
  const ofKeys = (i: number) => {
    const [row, place] = [Math.floor(i / capacity), i % capacity];
    const b = Math.floor(row / D / KV);
    return { b, g: Math.floor(row / D) % KV, d: row % D, position: positionAt(b, place) };
  };
  const ofValues = (i: number) => {
    const [row, d] = [Math.floor(i / D), i % D];
    const b = Math.floor(row / capacity / KV);
    return { b, g: Math.floor(row / capacity) % KV, d, position: positionAt(b, row % capacity) };
  };
  const side = (first: number, placeOf: typeof ofKeys, qkv: Vector): Expected => ({
    reference: Float64Array.from({ length: count }, (_, i) => {
      const { b, g, d, position } = placeOf(i);
      const row = b * T + position - starts[b]!;
      return isNew(b, position) ? qkv[row * width + (first + g) * D + d]! : 0;
    }),
    bound: new Float64Array(count),
  });
  const output = (placeOf: typeof ofKeys): Output => ({
    type,
    count,
    isWritten(i) {
      const { b, position } = placeOf(i);
      return isNew(b, position);
    },
  });
  return kernelCase({
    kernel: 'cache_write',
    shape: `${type}, ${T} at ${starts.join(' ')} of ${capacity}${showRing(given)}, heads ${H}/${KV} size ${D}`,
    inputClass,
    inputs: {
      qkv: drawn(inputClass, `qkv ${labelOf(given)}`, B * T * width, { type }),
      starts: words(B, () => starts),
      ...(isRing(given) && T > 1 && { lastRows: words(B, () => lengths.map((n, b) => b * T + Math.min(n, T) - 1)) }),
    },
    outputs: { keys: output(ofKeys), values: output(ofValues) },
    expected: ({ qkv }) => ({ keys: side(H, ofKeys, qkv), values: side(H + KV, ofValues, qkv) }),
    calls: (variants, operands) => cacheWrite(variants, { B, T, capacity, context, H, KV, D }, operands),
  });
}

/** `rescale`: keys between two rescalings, at least, of the variants that are to run it. */
export function attentionCachedCase(given: CacheCase & { readonly rescale: number }): Case {
  const { lengths, capacity, context, H, KV, D, scale, softCap, window, type, inputClass = 'uniform' } = given;
  const B = lengths.length;
  const count = B * KV * D * capacity;
  const [scoreClass, valueClass] = ATTENTION_CLASSES[inputClass];
  const options = { type, most: largestOf(inputClass, type) };
  const label = labelOf(given);
  return kernelCase({
    kernel: 'attention_cached',
    shape:
      `${type}, lengths ${lengths.join(' ')} of ${capacity}${showRing(given)}, heads ${H}/${KV} size ${D}` +
      `${showScale(scale)}${showSoftCap(softCap)}${showWindow(window)}`,
    inputClass,
    inputs: {
      qkv: new Input(type, B * (H + 2 * KV) * D, () => {
        const unread = new Float64Array(B * 2 * KV * D);
        return sideBySide([inputValues(scoreClass, `q ${label}`, B * H * D, options), unread], B);
      }),
      keys: drawn(scoreClass, `k ${label}`, count, options),
      values: drawn(valueClass, `v ${label}`, count, options),
      positions: words(B, () => lengths.map(length => length - 1)),
    },
    outputs: { out: { type, count: B * H * D } },
    expected: values => ({ out: attended(values, given) }),
    calls: (variants, operands) =>
      attentionCached(variants, { B, capacity, context, H, KV, D, ...(scale && { scale }), softCap, window }, operands),
  });
}

/** The last row of causal attention over each sequence by itself. */
function attended(
  { qkv, keys, values }: Readonly<Record<'qkv' | 'keys' | 'values', Vector>>,
  { lengths, capacity, H, KV, D, scale, softCap, window, type, rescale }: CacheCase & { readonly rescale: number },
): Expected {
  const reference = new Float64Array(lengths.length * H * D);
  const bound = new Float64Array(reference.length);
  for (const [b, T] of lengths.entries()) {
    const shape = { B: 1, T, H, KV, D, ...(scale && { scale }), softCap, window, first: T - 1 };
    const q = new Float64Array(T * H * D);
    q.set(qkv.subarray(b * (H + 2 * KV) * D).subarray(0, H * D), (T - 1) * H * D);
    /** [T, KV, D] out of the cache. */
    const gather = (cache: Vector, at: (g: number, d: number, t: number) => number) =>
      Float64Array.from({ length: T * KV * D }, (_, i) => {
        const [t, g, d] = [Math.floor(i / D / KV), Math.floor(i / D) % KV, i % D];
        return cache[b * KV * D * capacity + at(g, d, t % capacity)]!; // what a ring has lost is not in the window
      });
    const k = gather(keys, (g, d, t) => (g * D + d) * capacity + t);
    const v = gather(values, (g, d, t) => (g * capacity + t) * D + d);
    const { out } = attention({ q, k, v }, shape);
    const bounds = attentionBounds({ q, k, v }, out, new Float64Array(out.length), shape, { rescale, type });
    reference.set(out.subarray((T - 1) * H * D), b * H * D);
    bound.set(bounds.out.subarray((T - 1) * H * D), b * H * D);
  }
  return { reference, bound };
}
