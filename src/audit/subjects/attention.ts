/** Attention: forward and both passes of its gradient, each judged by itself on the reference's intermediate values. */

import { ATTENTION_OPERANDS, attentionCall, attentionOperands } from '../../kernels/attention.js';
import type { AttentionKernel, AttentionVariant, MatrixAttention } from '../../kernels/attention-variant.js';
import { type AttentionShape, attention, attentionBackward, attentionProbabilities } from '../../numerics/attention.js';
import { type AttentionBoundOptions, attentionBounds } from '../../numerics/attention-bounds.js';
import { storedBound } from '../../numerics/bounds.js';
import { attentionCases, longAttentionCases } from '../../numerics/cases.js';
import { type InputClass, inputValues, type StoredType, stored } from '../../numerics/inputs.js';
import type { Vector } from '../../numerics/reference.js';
import { apart, sideBySide } from '../../numerics/side-by-side.js';
import { type Expected, floats, type Output, type Problem, type Scope, storedTypes } from '../problem.js';
import { attentionVariants, matrixAttention } from '../variants.js';

/** Of q and k, and of v and dout. */
export const ATTENTION_CLASSES: readonly (readonly [name: string, scores: InputClass, values: InputClass])[] = [
  ['uniform', 'uniform', 'uniform'],
  ['near ties', 'near ties', 'uniform'],
  ['cancelling', 'cancelling', 'cancelling'],
  ['signed zeros', 'signed zeros', 'signed zeros'],
  ['denormal', 'denormal', 'denormal'],
  ['wide', 'uniform', 'wide'],
  ['largest', 'uniform', 'largest'],
];

/** dp and out are of the size of v times dout: their products must not overflow, nor what is stored in halves. */
export const largestOf = (inputClass: string, type: StoredType): number =>
  type === 'f16' ? 2 ** 3 : inputClass === 'largest' ? 2 ** 55 : 2 ** 20;

const OUTPUTS = {
  attention_forward: ['out', 'logsumexp'],
  attention_backward_query: ['dqkv', 'delta'],
  attention_backward_key_value: ['dqkv'],
} as const;
const KERNELS = Object.keys(OUTPUTS) as AttentionKernel[];

/** What adversarial inputs are posed in: keys beyond the tile of every variant. */
const SMALL = { B: 1, T: 37, H: 4, KV: 2 };
const SMALL_HEAD: Readonly<Record<StoredType, number>> = { f32: 24, f16: 16 };
/**
 * Head sizes of the variants that the adapter would not choose, since large heads take drivers long to compile, most of all
 * of halves: one chunk, several, and the widest that they have.
 */
const OTHER_HEADS: Readonly<Record<StoredType, readonly number[]>> = { f32: [8, 24, 80], f16: [8, 16] };
/** One head size, so that each variant is compiled once: a workgroup with rows to spare, and several. */
const QUICK: readonly AttentionShape[] = [
  { B: 1, T: 16, H: 4, KV: 2, D: 12 },
  { B: 1, T: 65, H: 2, KV: 1, D: 12 },
];
const QUICK_HEAD = QUICK[0]!.D;
/** The long cases but the one that costs most; halves on registers take those of several short sequences alone. */
const QUICK_LONG = longAttentionCases.slice(0, 3).map(shape => ({ ...shape, D: QUICK_HEAD }));
const QUICK_LONG_HALVES = QUICK_LONG.slice(0, 2);

export function* attentionProblems(scope: Scope): Generator<Problem> {
  const shapes = scope.quick ? QUICK : attentionCases.map(({ shape }) => shape);
  for (const type of storedTypes(scope)) {
    // halves differ in how they are read and written alone, and large heads take drivers long to compile
    for (const shape of shapes.filter(({ D }) => type === 'f32' || D <= 32)) {
      yield* problems(scope, type, shape, ATTENTION_CLASSES[0]!);
    }
    for (const inputClass of ATTENTION_CLASSES.slice(1)) {
      const shape = { ...SMALL, D: scope.quick ? QUICK_HEAD : SMALL_HEAD[type] };
      yield* problems(scope, type, shape, inputClass);
    }
    const quickLong = type === 'f32' ? QUICK_LONG : QUICK_LONG_HALVES;
    for (const shape of scope.quick ? quickLong : longAttentionCases) {
      yield* problems(scope, type, shape, ATTENTION_CLASSES[0]!);
    }
  }
  // what is rounded to f16 on the way has bounds of its own; drivers take seconds to compile these
  const onMatrices = matrixAttention(scope.adapter);
  if (!onMatrices) return;
  const usual = ATTENTION_CLASSES.slice(0, 1);
  const heads = scope.quick
    ? [[QUICK_HEAD, usual] as const]
    : [[SMALL_HEAD.f16, ATTENTION_CLASSES] as const, [10, usual] as const];
  for (const [D, classes] of heads) {
    for (const inputClass of classes) {
      yield* problems(scope, 'f16', { ...SMALL, D }, inputClass, onMatrices);
    }
  }
  for (const shape of scope.quick ? QUICK_LONG : longAttentionCases) {
    yield* problems(scope, 'f16', { ...shape, D: heads[0]![0] }, ATTENTION_CLASSES[0]!, onMatrices);
  }
}

/** Made when it is first asked for, and once: most problems of a long list may not be wanted. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

const pick = <V>(all: Readonly<Record<string, V>>, names: readonly string[]): Record<string, V> =>
  Object.fromEntries(names.map(name => [name, all[name]!]));

/** The three kernels on the same values. */
function* problems(
  { adapter, quick }: Scope,
  type: StoredType,
  shape: AttentionShape,
  [inputClass, scoreClass, valueClass]: (typeof ATTENTION_CLASSES)[number],
  onMatrices?: MatrixAttention,
): Generator<Problem> {
  const { B, T, H, KV, D } = shape;
  const label = `${inputClass} ${B} ${T} ${H} ${KV} ${D}`;
  const most = largestOf(inputClass, type);
  const values = (kind: InputClass, name: string, heads: number) =>
    inputValues(kind, `${name} ${label}`, B * T * heads * D, { type, most });
  const forward = onMatrices ? [onMatrices] : [...attentionVariants(adapter, 'attention_forward', D).values()];
  const options = { type, rescale: Math.min(...forward.map(({ rows }) => rows)), halves: onMatrices !== undefined };
  const posed = once(() => {
    const [q, k, v] = [values(scoreClass, 'q', H), values(scoreClass, 'k', KV), values(valueClass, 'v', KV)];
    const dout = floats(values(valueClass, 'dout', H), type);
    const qkv = floats(sideBySide([q, k, v], B * T), type);
    const exact = expected(qkv.values, dout.values, shape, options);
    const asInput = (name: string, type: StoredType) => floats(stored(exact[name]!.reference, type), type);
    const [logsumexp, delta] = [asInput('logsumexp', 'f32'), asInput('delta', 'f32')];
    return { exact, inputs: { qkv, dout, out: asInput('out', type), logsumexp, delta } };
  });
  const width = (H + 2 * KV) * D;
  const isQuery = (i: number) => i % width < H * D;
  const outputs: Readonly<Record<(typeof OUTPUTS)[AttentionKernel][number], Output>> = {
    out: { type, count: B * T * H * D },
    logsumexp: { type: 'f32', count: B * H * T },
    delta: { type: 'f32', count: B * H * T },
    dqkv: { type, count: B * T * width },
  };
  // halves differ in how they are read and written alone: one variant of a kind is enough where time is short
  const isRun = quick ? (own: number) => type === 'f32' || own === 1 : () => OTHER_HEADS[type].includes(D);
  for (const kernel of KERNELS) {
    const variants: (readonly [string, AttentionVariant])[] = onMatrices
      ? [['subgroup matrices', onMatrices]]
      : [...attentionVariants(adapter, kernel, D)].filter(([, { own }], i) => i === 0 || isRun(own));
    const isWritten = kernel === 'attention_backward_query' ? isQuery : (i: number) => !isQuery(i);
    const read = ATTENTION_OPERANDS[kernel].filter(name => !(OUTPUTS[kernel] as readonly string[]).includes(name));
    yield {
      kernel,
      shape: `${type}, B ${B} T ${T} heads ${H}/${KV} size ${D}${onMatrices ? ', on matrices' : ''}`,
      inputClass,
      get inputs() {
        return pick(posed().inputs, read);
      },
      outputs: pick({ ...outputs, dqkv: { ...outputs.dqkv, isWritten } }, OUTPUTS[kernel]),
      expected(given) {
        const { exact, inputs } = posed();
        const { qkv, dout = inputs.dout.values } = given;
        const isPosed = qkv === inputs.qkv.values && dout === inputs.dout.values;
        return pick(isPosed ? exact : expected(qkv!, dout, shape, options), OUTPUTS[kernel]);
      },
      variants: variants.map(([name, variant]) => ({
        name,
        calls: bind => [attentionCall(kernel, variant, shape, attentionOperands(kernel, bind))],
      })),
    };
  }
}

/** Of all that the kernels write. */
function expected(
  qkv: Vector,
  dout: Vector,
  shape: AttentionShape,
  options: AttentionBoundOptions & { readonly type: StoredType },
): Record<string, Expected> {
  const { B, T, H, KV, D } = shape;
  const [q, k, v] = apart(qkv, B * T, [H * D, KV * D, KV * D]) as [Vector, Vector, Vector];
  const probabilities = attentionProbabilities({ q, k, v }, shape);
  const { out, logsumexp } = attention({ q, k, v }, shape, probabilities);
  const bounds = attentionBounds({ q, k, v }, out, dout, shape, options, probabilities);
  const { dq, dk, dv } = attentionBackward({ q, k, v }, dout, shape, probabilities);
  const { type } = options;
  const parts = (a: Vector, b: Vector, c: Vector) => sideBySide([a, b, c], B * T);
  return {
    out: { reference: out, bound: bounds.out },
    logsumexp: { reference: logsumexp, bound: bounds.logsumexp },
    delta: { reference: deltaOf(dout, out, D, shape), bound: bounds.delta },
    dqkv: {
      reference: parts(dq, dk, dv),
      bound: parts(
        storedBound(bounds.dq, dq, type),
        storedBound(bounds.dk, dk, type),
        storedBound(bounds.dv, dv, type),
      ),
    },
  };
}

/** dout · out of each query row, [B, H, T]. */
function deltaOf(dout: Vector, out: Vector, D: number, { B, T, H }: AttentionShape): Vector {
  const delta = new Float64Array(B * H * T);
  for (let i = 0; i < dout.length; i++) {
    const row = Math.floor(i / D);
    const [b, t, h] = [Math.floor(row / H / T), Math.floor(row / H) % T, row % H];
    delta[(b * H + h) * T + t]! += dout[i]! * out[i]!;
  }
  return delta;
}
