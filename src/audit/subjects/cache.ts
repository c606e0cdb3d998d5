/** The cache of keys and values: what is written to it, and attention of one position over it. */
import { attentionCached } from '../../kernels/attention-cached.js';
import { cacheWrite } from '../../kernels/cache-write.js';
import { attention } from '../../numerics/attention.js';
import { attentionBounds } from '../../numerics/attention-bounds.js';
import { cacheCases, longCacheCases } from '../../numerics/cases.js';
import { type InputClass, inputValues, type StoredType } from '../../numerics/inputs.js';
import type { Vector } from '../../numerics/reference.js';
import { sideBySide } from '../../numerics/side-by-side.js';
import {
  type Expected,
  floats,
  type Given,
  onlyVariant,
  type Problem,
  rowTables,
  rowVariants,
  type Scope,
  storedTypes,
  words,
} from '../problem.js';

import { ATTENTION_CLASSES, largestOf } from './attention.js';

type Case = (typeof cacheCases)[number];

export function* cacheProblems(scope: Scope): Generator<Problem> {
  const cases = cacheCases.filter((_, i) => !scope.quick || i % 2 === 0);
  for (const type of storedTypes(scope)) {
    // large heads take drivers long to compile, most of all of halves
    for (const sizes of cases.filter(([, , , , D]) => !scope.quick || type === 'f32' || D <= 32)) {
      yield attending(scope, type, sizes, ATTENTION_CLASSES[0]!);
      for (const T of [1, 3]) yield writing(scope, type, sizes, T, 'uniform');
    }
    for (const sizes of scope.quick ? longCacheCases.slice(0, 1) : longCacheCases) {
      yield attending(scope, type, sizes, ATTENTION_CLASSES[0]!);
      yield writing(scope, type, sizes, 250, 'uniform');
    }
    for (const inputClass of ATTENTION_CLASSES.slice(1)) yield attending(scope, type, cacheCases[2]!, inputClass);
    for (const [inputClass] of ATTENTION_CLASSES.slice(4))
      yield writing(scope, type, cacheCases[2]!, 2, inputClass as InputClass);
  }
}

/** T new positions of each sequence, the last of which is the last of its length: those of short ones begin at 0. */
function writing(scope: Scope, type: StoredType, sizes: Case, T: number, inputClass: InputClass): Problem {
  const [lengths, capacity, H, KV, D] = sizes;
  const B = lengths.length;
  const width = (H + 2 * KV) * D;
  const qkv = inputValues(inputClass, `qkv ${inputClass} ${sizes}`, B * T * width, { type });
  const starts = lengths.map(length => Math.max(0, length - T));
  const count = B * KV * D * capacity;
  const isNew = (b: number, position: number) => position >= starts[b]! && position < starts[b]! + T;
  /** Sequence, head, dimension and position of an element of either side. */
  const ofKeys = (i: number) => {
    const [row, position] = [Math.floor(i / capacity), i % capacity];
    return { b: Math.floor(row / D / KV), g: Math.floor(row / D) % KV, d: row % D, position };
  };
  const ofValues = (i: number) => {
    const [row, d] = [Math.floor(i / D), i % D];
    return { b: Math.floor(row / capacity / KV), g: Math.floor(row / capacity) % KV, d, position: row % capacity };
  };
  const side = (first: number, placeOf: typeof ofKeys, given: Vector): Expected => ({
    reference: Float64Array.from({ length: count }, (_, i) => {
      const { b, g, d, position } = placeOf(i);
      const row = b * T + position - starts[b]!;
      return isNew(b, position) ? given[row * width + (first + g) * D + d]! : 0;
    }),
    bound: new Float64Array(count),
  });
  const output = (placeOf: typeof ofKeys) => ({
    type,
    count,
    isWritten(i: number) {
      const { b, position } = placeOf(i);
      return isNew(b, position);
    },
  });
  return {
    kernel: 'cache_write',
    shape: `${type}, ${T} at ${starts.join(' ')} of ${capacity}, heads ${H}/${KV} size ${D}`,
    inputClass,
    inputs: { qkv: floats(qkv, type), starts: words(starts) },
    outputs: { keys: output(ofKeys), values: output(ofValues) },
    expected: given => ({ keys: side(H, ofKeys, given.qkv!), values: side(H + KV, ofValues, given.qkv!) }),
    variants: onlyVariant(scope, (variants, bind) =>
      cacheWrite(
        variants,
        { B, T, capacity, H, KV, D },
        { qkv: bind('qkv'), starts: bind('starts'), keys: bind('keys'), values: bind('values') },
      ),
    ),
  };
}

function attending(
  scope: Scope,
  type: StoredType,
  sizes: Case,
  [inputClass, scoreClass, valueClass]: (typeof ATTENTION_CLASSES)[number],
): Problem {
  const [lengths, capacity, H, KV, D] = sizes;
  const B = lengths.length;
  const label = `${inputClass} ${sizes}`;
  const most = largestOf(inputClass, type);
  const make = (kind: InputClass, name: string, count: number) =>
    inputValues(kind, `${name} ${label}`, count, { type, most });
  const q = make(scoreClass, 'q', B * H * D);
  const unread = new Float64Array(B * 2 * KV * D);
  const count = B * KV * D * capacity;
  return {
    kernel: 'attention_cached',
    shape: `${type}, lengths ${lengths.join(' ')} of ${capacity}, heads ${H}/${KV} size ${D}`,
    inputClass,
    inputs: {
      qkv: floats(sideBySide([q, unread], B), type),
      keys: floats(make(scoreClass, 'k', count), type),
      values: floats(make(valueClass, 'v', count), type),
      positions: words(lengths.map(length => length - 1)),
    },
    outputs: { out: { type, count: B * H * D } },
    expected: given => ({ out: attended(given, sizes, type, rescale(scope, sizes)) }),
    variants: rowVariants(scope, (variants, bind) =>
      attentionCached(
        variants,
        { B, capacity, H, KV, D },
        {
          qkv: bind('qkv'),
          keys: bind('keys'),
          values: bind('values'),
          positions: bind('positions'),
          out: bind('out'),
        },
      ),
    ),
  };
}

/** Keys between two rescalings: the fewest of any variant. */
const rescale = ({ adapter }: Scope, [, capacity, H, KV, D]: Case): number =>
  Math.min(
    ...rowTables(adapter).map(
      ({ table }) => table.attention('attention_forward', { B: 1, T: capacity, H, KV, D }, 'f32').rows,
    ),
  );

/** The last row of causal attention over each sequence by itself. */
function attended(given: Given, [lengths, capacity, H, KV, D]: Case, type: StoredType, rescale: number): Expected {
  const reference = new Float64Array(lengths.length * H * D);
  const bound = new Float64Array(reference.length);
  for (const [b, T] of lengths.entries()) {
    const shape = { B: 1, T, H, KV, D, first: T - 1 };
    const q = new Float64Array(T * H * D);
    q.set(given.qkv!.subarray(b * (H + 2 * KV) * D).subarray(0, H * D), (T - 1) * H * D);
    /** [T, KV, D] out of the cache. */
    const gather = (cache: Vector, at: (g: number, d: number, t: number) => number) =>
      Float64Array.from({ length: T * KV * D }, (_, i) => {
        const [t, g, d] = [Math.floor(i / D / KV), Math.floor(i / D) % KV, i % D];
        return cache[b * KV * D * capacity + at(g, d, t)]!;
      });
    const k = gather(given.keys!, (g, d, t) => (g * D + d) * capacity + t);
    const v = gather(given.values!, (g, d, t) => (g * capacity + t) * D + d);
    const { out } = attention({ q, k, v }, shape);
    const bounds = attentionBounds({ q, k, v }, out, new Float64Array(out.length), shape, { rescale, type });
    reference.set(out.subarray((T - 1) * H * D), b * H * D);
    bound.set(bounds.out.subarray((T - 1) * H * D), b * H * D);
  }
  return { reference, bound };
}
