/** Attention, its gradient, attention over branches and over the cache: which sizes, classes and variants are posed. */
import { type AttentionCase, attentionCases } from '../../cases/attention.js';
import { branchesCase } from '../../cases/branches.js';
import { attentionCachedCase, type CacheCase, cacheWriteCase } from '../../cases/cache.js';
import type { Case, Problem } from '../../cases/case.js';
import {
  attentionSizes,
  cacheSizes,
  documentSizes,
  longAttentionSizes,
  longCacheSizes,
  modelDocumentSizes,
  windowSizes,
} from '../../cases/sizes.js';
import type { AdapterDescription } from '../../gpu/adapters.js';
import { keysAtATime } from '../../kernels/attention-cached.js';
import {
  type AttentionKernel,
  type AttentionSizes,
  type AttentionVariant,
  type MatrixAttention,
  matrixAttention,
  rowsAtATime,
} from '../../kernels/attention-variant.js';
import { defaultLanes } from '../../kernels/lanes.js';
import { VariantTable } from '../../kernels/variants.js';
import type { InputClass, StoredType } from '../../numerics/inputs.js';
import { onlyVariant, rowVariants, type Scope, storedTypes } from '../problem.js';
import { attentionVariants, matrixAttentions } from '../variants.js';

/** What scores are multiplied by where it is not 1/√D. */
const SCALE = 0.25;
/** Caps that scores of values up to 2 are near and beyond, and the published one with a factor that makes them so. */
const CAPS = [{ softCap: 1.5 }, { softCap: 50, scale: 8 }] as const;

const ADVERSARIAL: readonly InputClass[] = ['near ties', 'cancelling', 'signed zeros', 'denormal', 'wide', 'largest'];

/** What adversarial inputs are posed in: keys beyond the tile of every variant. */
const SMALL = { B: 1, T: 37, H: 4, KV: 2 };
const SMALL_HEAD: Readonly<Record<StoredType, number>> = { f32: 24, f16: 16 };
/**
 * Head sizes of the variants that the adapter would not choose, since large heads take drivers long to compile, most of
 * all of halves: one chunk, several, and the widest that they have.
 */
const OTHER_HEADS: Readonly<Record<StoredType, readonly number[]>> = { f32: [8, 24, 80], f16: [8, 16] };
/** One head size, so that each variant is compiled once: a workgroup with rows to spare, and several. */
const QUICK: readonly AttentionSizes[] = [
  { B: 1, T: 16, H: 4, KV: 2, D: 12 },
  { B: 1, T: 65, H: 2, KV: 1, D: 12 },
];
const QUICK_HEAD = QUICK[0]!.D;
/** The long cases but the one that costs most; halves on registers take those of several short sequences alone. */
const QUICK_LONG = longAttentionSizes.slice(0, 3).map(sizes => ({ ...sizes, D: QUICK_HEAD }));
const QUICK_LONG_HALVES = QUICK_LONG.slice(0, 2);

export function* attentionProblems(scope: Scope): Generator<Problem> {
  for (const type of storedTypes(scope)) {
    // halves differ in how they are read and written alone, and large heads take drivers long to compile
    const usual = (scope.quick ? QUICK : attentionSizes).filter(({ D }) => type === 'f32' || D <= 32);
    for (const sizes of usual) yield* onRegisters(scope, { ...sizes, type });
    const small = { ...SMALL, D: scope.quick ? QUICK_HEAD : SMALL_HEAD[type], type };
    for (const inputClass of ADVERSARIAL) yield* onRegisters(scope, { ...small, inputClass });
    yield* onRegisters(scope, { ...small, scale: SCALE });
    const quickLong = type === 'f32' ? QUICK_LONG : QUICK_LONG_HALVES;
    for (const sizes of scope.quick ? quickLong : longAttentionSizes) yield* onRegisters(scope, { ...sizes, type });
  }
  yield* onMatrices(scope, matrixAttentions(scope.adapter));
}

/** Attention within documents; at the sizes of models in every variant, and on matrices as they ship. */
export function* documentProblems(scope: Scope): Generator<Problem> {
  const posed = scope.quick ? documentSizes.slice(0, 1).map(sizes => ({ ...sizes, D: QUICK_HEAD })) : documentSizes;
  for (const type of storedTypes(scope)) {
    for (const sizes of posed.filter(({ D }) => type === 'f32' || D <= 16)) {
      yield* onRegisters(scope, { ...sizes, type });
    }
    if (scope.quick) continue;
    const small = { ...documentSizes[0]!, D: SMALL_HEAD[type], type };
    for (const inputClass of ADVERSARIAL) yield* onRegisters(scope, { ...small, inputClass });
  }
  const matrices = matrixAttentions(scope.adapter);
  const D = scope.quick ? QUICK_HEAD : SMALL_HEAD.f16;
  yield* casesOnMatrices(
    scope,
    matrices,
    posed.map(sizes => ({ ...sizes, D })),
  );
  if (scope.quick) return;
  for (const sizes of modelDocumentSizes) {
    yield* onRegisters(scope, { ...sizes, type: 'f32' }, () => true);
    if (matrices.size > 0) yield* asShippedOnMatrices(scope, sizes);
  }
}

/** Attention within a window. */
export function* windowProblems(scope: Scope): Generator<Problem> {
  const quick = [1, 4, 5, 6].map(i => ({ ...windowSizes[i]!, D: QUICK_HEAD }));
  const posed = scope.quick ? quick : windowSizes;
  for (const type of storedTypes(scope)) {
    for (const sizes of posed.filter(({ D }) => type === 'f32' || D <= 16))
      yield* onRegisters(scope, { ...sizes, type });
    if (scope.quick) continue;
    const small = { ...windowSizes[1]!, D: SMALL_HEAD[type], type };
    for (const inputClass of ADVERSARIAL) yield* onRegisters(scope, { ...small, inputClass });
  }
  const D = scope.quick ? QUICK_HEAD : SMALL_HEAD.f16;
  const wide = posed.map(sizes => ({ ...sizes, D }));
  yield* casesOnMatrices(scope, matrixAttentions(scope.adapter), wide);
}

/** Attention with capped scores: alone, over contexts of models, and within windows and documents. */
export function* cappedProblems(scope: Scope): Generator<Problem> {
  const [narrow, published] = CAPS;
  const alone = [
    ...CAPS.map(cap => ({ ...SMALL, ...cap })),
    { ...longAttentionSizes[0]!, ...published },
    { ...longAttentionSizes[2]!, ...narrow },
  ];
  const posed = scope.quick ? [{ ...QUICK[1]!, ...published }] : [...alone, { ...windowSizes[5]!, ...narrow }];
  for (const type of storedTypes(scope)) {
    const D = scope.quick ? QUICK_HEAD : SMALL_HEAD[type];
    for (const sizes of posed) yield* onRegisters(scope, { ...sizes, D, type });
    const adversarial = scope.quick ? [] : ADVERSARIAL;
    for (const inputClass of adversarial) yield* onRegisters(scope, { ...SMALL, ...narrow, D, type, inputClass });
  }
  const matrices = matrixAttentions(scope.adapter);
  const D = scope.quick ? QUICK_HEAD : SMALL_HEAD.f16;
  const ofD = posed.map(sizes => ({ ...sizes, D }));
  yield* casesOnMatrices(scope, matrices, ofD);
  if (scope.quick) return;
  // heads of a Gemma 2: of 256, and in the 27B of 128
  const wide = { B: 1, T: 70, H: 8, KV: 1, ...published };
  // four lanes hold a quarter of a head each, which SwiftShader takes a minute to compile for the wide ones
  const widest = defaultLanes(scope.adapter) === 4 ? 64 : 256;
  yield* onRegisters(scope, { ...wide, D: widest, type: 'f32' }, () => true);
  if (matrices.size > 0) yield* asShippedOnMatrices(scope, { ...wide, D: 128 });
}

/** Attention as a GPU with the adapter's matrices runs it: each kernel in a variant of its own. */
function* asShippedOnMatrices({ adapter }: Scope, given: Omit<AttentionCase, 'type'>): Generator<Problem> {
  const hardware = { ...adapter, kind: 'hardware' } as const;
  const variantOf = (kernel: AttentionKernel) => matrixAttention(hardware, { kernel, sizes: given, type: 'f16' });
  const rescale = variantOf('attention_forward')?.rows;
  if (rescale === undefined) return;
  const cases = attentionCases({ ...given, type: 'f16', rescale, halves: true });
  for (const [kernel, one] of Object.entries(cases) as [AttentionKernel, Case][]) {
    const attention = variantOf(kernel);
    if (attention) yield { ...one, variants: tablesOf(adapter, [['as shipped', attention]]) };
  }
}

const tablesOf = (adapter: AdapterDescription, attentions: Iterable<readonly [string, AttentionVariant]>) =>
  [...attentions].map(([name, attention]) => ({ name, table: new VariantTable(adapter, {}, { attention }) }));

/** The three kernels on the same values. */
function* onRegisters(
  { adapter, quick }: Scope,
  given: AttentionCase,
  // halves differ in how they are read and written alone: one variant of a kind is enough where time is short
  isRun = quick
    ? (name: string) => given.type === 'f32' || !name.endsWith('2')
    : () => OTHER_HEADS[given.type].includes(given.D),
): Generator<Problem> {
  const { D } = given;
  const forward = [...attentionVariants(adapter, 'attention_forward', D).values()];
  const cases = attentionCases({ ...given, rescale: Math.min(...forward.map(rowsAtATime)) });
  for (const [kernel, one] of Object.entries(cases) as [AttentionKernel, Case][]) {
    const variants = [...attentionVariants(adapter, kernel, D)].filter(([name], i) => i === 0 || isRun(name));
    yield { ...one, variants: tablesOf(adapter, variants) };
  }
}

function* onMatrices(scope: Scope, attentions: ReadonlyMap<string, MatrixAttention>): Generator<Problem> {
  const { quick } = scope;
  const D = quick ? QUICK_HEAD : SMALL_HEAD.f16;
  yield* casesOnMatrices(scope, attentions, [
    { ...SMALL, D },
    { ...SMALL, D, scale: SCALE },
    ...(quick ? [] : [...ADVERSARIAL.map(inputClass => ({ ...SMALL, D, inputClass })), { ...SMALL, D: 10 }]),
    ...(quick ? QUICK_LONG : longAttentionSizes).map(sizes => ({ ...sizes, D })),
  ]);
}

/** What is rounded to f16 on the way has bounds of its own; drivers take seconds to compile these. */
function* casesOnMatrices(
  { adapter }: Scope,
  attentions: ReadonlyMap<string, MatrixAttention>,
  posed: readonly Omit<AttentionCase, 'type'>[],
): Generator<Problem> {
  if (attentions.size === 0) return;
  const rescale = Math.min(...[...attentions.values()].map(({ rows }) => rows));
  for (const given of posed) {
    const cases = attentionCases({ ...given, type: 'f16', rescale, halves: true });
    for (const one of Object.values(cases)) yield { ...one, variants: tablesOf(adapter, attentions) };
  }
}

const TREES = [
  { trunk: 16, branches: [8, 24, 5] },
  { trunk: 96, branches: [32, 8, 8, 17] },
];

export function* branchProblems(scope: Scope): Generator<Problem> {
  const sizes = { H: 4, KV: 2, D: 12 };
  const found = [...attentionVariants(scope.adapter, 'attention_forward', sizes.D)];
  const rescale = Math.min(...found.map(([, variant]) => rowsAtATime(variant)));
  const variants = tablesOf(scope.adapter, found);
  for (const type of storedTypes(scope)) {
    for (const tree of scope.quick ? TREES.slice(0, 1) : TREES) {
      for (const inputClass of ['uniform', 'near ties'] as const) {
        yield { ...branchesCase({ ...tree, ...sizes, type, inputClass, rescale }), variants };
      }
      yield { ...branchesCase({ ...tree, ...sizes, ...CAPS[0], type, rescale }), variants };
    }
  }
}

export function* cacheProblems(scope: Scope): Generator<Problem> {
  const [reading, writing] = [rowVariants(scope), onlyVariant(scope)];
  const attending = (given: CacheCase): Problem => {
    const rescale = Math.min(
      ...reading.map(({ table }) => keysAtATime(table, { ...given, B: given.lengths.length }, given.type)),
    );
    return { ...attentionCachedCase({ ...given, rescale }), variants: reading };
  };
  const written = (given: CacheCase, T: number): Problem => ({ ...cacheWriteCase({ ...given, T }), variants: writing });
  const usual = cacheSizes.filter((_, i) => !scope.quick || i % 2 === 0);
  for (const type of storedTypes(scope)) {
    // large heads take drivers long to compile, most of all of halves
    for (const sizes of usual.filter(({ D }) => !scope.quick || type === 'f32' || D <= 32)) {
      yield attending({ ...sizes, type });
      for (const T of [1, 3]) yield written({ ...sizes, type }, T);
    }
    for (const sizes of scope.quick ? longCacheSizes.slice(0, 1) : longCacheSizes) {
      yield attending({ ...sizes, type });
      yield written({ ...sizes, type }, 250);
    }
    for (const inputClass of ADVERSARIAL) yield attending({ ...cacheSizes[2]!, type, inputClass });
    yield attending({ ...cacheSizes[2]!, type, scale: SCALE });
    for (const cap of CAPS) yield attending({ ...cacheSizes[2]!, type, ...cap });
    for (const window of [1, 5, 100]) yield attending({ ...longCacheSizes[0]!, type, window });
    for (const held of [5, 100, 300]) {
      const ring = { ...longCacheSizes[0]!, type, context: longCacheSizes[0]!.capacity, capacity: held, window: held };
      yield attending(ring);
      for (const T of [1, 3, 500]) yield written(ring, T);
    }
    for (const inputClass of ADVERSARIAL.slice(3)) yield written({ ...cacheSizes[2]!, type, inputClass }, 2);
  }
}
