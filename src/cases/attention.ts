/** Attention: forward and both passes of its gradient, each judged by itself on the reference's intermediate values. */
import { attentionBackwardKeyValue, attentionBackwardQuery, attentionForward } from '../kernels/attention.js';
import type { AttentionKernel, AttentionSizes } from '../kernels/attention-variant.js';
import { attention, attentionBackward, attentionProbabilities } from '../numerics/attention.js';
import { type AttentionBoundOptions, attentionBounds } from '../numerics/attention-bounds.js';
import { storedBound } from '../numerics/bounds.js';
import { type InputClass, inputValues, type StoredType, stored } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import { apart, sideBySide } from '../numerics/side-by-side.js';
import { type Case, type Expected, Input, kernelCase, type Output } from './case.js';
import { beginsInput, documentsOf, partOf, showDocuments } from './documents.js';

/** What q and k are drawn from, and v and dout, in a case of a class. */
export const ATTENTION_CLASSES = {
  uniform: ['uniform', 'uniform'],
  'near ties': ['near ties', 'uniform'],
  cancelling: ['cancelling', 'cancelling'],
  'signed zeros': ['signed zeros', 'signed zeros'],
  denormal: ['denormal', 'denormal'],
  wide: ['uniform', 'wide'],
  largest: ['uniform', 'largest'],
} as const satisfies Readonly<Record<InputClass, readonly [scores: InputClass, values: InputClass]>>;

/** dp and out are of the size of v times dout: their products must not overflow, nor what is stored in halves. */
export const largestOf = (inputClass: InputClass, type: StoredType): number =>
  type === 'f16' ? 2 ** 3 : inputClass === 'largest' ? 2 ** 55 : 2 ** 20;

export interface AttentionCase extends AttentionSizes {
  readonly type: StoredType;
  readonly inputClass?: InputClass;
  /**
   * What the bounds go by: the fewest keys between two rescalings of any variant that runs it, and rounding to halves.
   */
  readonly rescale?: number;
  readonly halves?: boolean;
  /** Lengths of documents, over and over, that attention stays within. */
  readonly documents?: readonly number[];
}

/** What scores are multiplied by, where it is not 1/√D, as a case's shape names it. */
export const showScale = (scale: number | undefined): string => (scale === undefined ? '' : `, scores times ${scale}`);

/** What scores are capped at, if anything, as a case's shape names it. */
export const showSoftCap = (cap: number | undefined): string => (cap === undefined ? '' : `, capped at ${cap}`);

/** How many keys a query sees, where that is not all, as a case's shape names it. */
export const showWindow = (window: number | undefined): string => (window === undefined ? '' : `, within ${window}`);

/** Made when it is first asked for, and once. */
function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}

/** How many products of scores' size count: two forward, and five in both passes of the gradient. */
const PRODUCTS = { attention_forward: 2, attention_backward_query: 3, attention_backward_key_value: 2 };
/** Arrays of q's size that are read and written: q, k, v, out; the same, dout and dq; dk and dv. */
const ARRAYS = { attention_forward: 4, attention_backward_query: 6, attention_backward_key_value: 2 };

/** The three kernels on the same values. */
export function attentionCases(given: AttentionCase): Readonly<Record<AttentionKernel, Case>> {
  const { type, inputClass = 'uniform', rescale = 4, halves = false, documents: lengths, ...shape } = given;
  const { B, T, H, KV, D, scale, window, softCap } = shape;
  const options = { type, rescale, halves, documents: lengths };
  const documents = lengths && beginsInput(documentsOf(shape, lengths), shape);
  const label = `${inputClass} ${B} ${T} ${H} ${KV} ${D}`;
  const most = largestOf(inputClass, type);
  const values = (kind: InputClass, name: string, heads: number) =>
    inputValues(kind, `${name} ${label}`, B * T * heads * D, { type, most });
  const [scoreClass, valueClass] = ATTENTION_CLASSES[inputClass];
  const width = (H + 2 * KV) * D;
  const qkv = new Input(type, B * T * width, () =>
    sideBySide([values(scoreClass, 'q', H), values(scoreClass, 'k', KV), values(valueClass, 'v', KV)], B * T),
  );
  const dout = new Input(type, B * T * H * D, () => values(valueClass, 'dout', H));
  const posed = once(() => attentionExpected(qkv.values, dout.values, shape, options));
  const exact = <Type extends StoredType>(name: keyof AttentionResults, type: Type, count: number) =>
    new Input(type, count, () => stored(posed()[name].reference, type));
  const out = exact('out', type, B * T * H * D);
  const logsumexp = exact('logsumexp', 'f32', B * H * T);
  const delta = exact('delta', 'f32', B * H * T);
  const expected = (own: Readonly<Record<'qkv', Vector> & Partial<Record<'dout', Vector>>>): AttentionResults => {
    const isPosed = own.qkv === qkv.values && (own.dout ?? dout.values) === dout.values;
    return isPosed ? posed() : attentionExpected(own.qkv, own.dout ?? dout.values, shape, options);
  };
  const isQuery = (i: number) => i % width < H * D;
  const empty = ({ type, count }: Input<StoredType>): Output => ({ type, count });
  const common = (kernel: AttentionKernel) => ({
    kernel,
    shape:
      `${type}, B ${B} T ${T} heads ${H}/${KV} size ${D}${showScale(scale)}${showSoftCap(softCap)}` +
      `${showWindow(window)}${showDocuments(lengths)}${halves ? ', on matrices' : ''}`,
    inputClass,
    flops: PRODUCTS[kernel] * H * D * pairsOf(shape, lengths),
    bytes: ARRAYS[kernel] * 4 * B * T * H * D,
  });
  return {
    attention_forward: kernelCase({
      ...common('attention_forward'),
      inputs: { qkv, ...(documents && { documents }) },
      outputs: { out: empty(out), logsumexp: empty(logsumexp) },
      expected(given) {
        const { out, logsumexp } = expected(given);
        return { out, logsumexp };
      },
      calls: (variants, operands) => attentionForward(variants, shape, operands),
    }),
    attention_backward_query: kernelCase({
      ...common('attention_backward_query'),
      inputs: { qkv, out, logsumexp, dout, ...(documents && { documents }) },
      outputs: { dqkv: { ...empty(qkv), isWritten: isQuery }, delta: empty(delta) },
      expected(given) {
        const { dqkv, delta } = expected(given);
        return { dqkv, delta };
      },
      calls: (variants, operands) => attentionBackwardQuery(variants, shape, operands),
    }),
    attention_backward_key_value: kernelCase({
      ...common('attention_backward_key_value'),
      inputs: { qkv, logsumexp, delta, dout, ...(documents && { documents }) },
      outputs: { dqkv: { ...empty(qkv), isWritten: (i: number) => !isQuery(i) } },
      expected: given => ({ dqkv: expected(given).dqkv }),
      calls: (variants, operands) => attentionBackwardKeyValue(variants, shape, operands),
    }),
  };
}

type AttentionResults = Readonly<Record<'out' | 'logsumexp' | 'delta' | 'dqkv', Expected>>;

/** Twice the pairs of a query and a key that it sees. */
const pairsOf = ({ B, T }: AttentionSizes, lengths: readonly number[] = [T]): number =>
  documentsOf({ B, T }, lengths).reduce((sum, { length }) => sum + length * (length + 1), 0);

interface ExpectedOptions extends AttentionBoundOptions, Pick<AttentionCase, 'documents'> {
  readonly type: StoredType;
}

/**
 * The results and bounds of all that the kernels write; qkv [B, T, H + 2 KV, D], dout [B, T, H, D]. With documents they
 * are those of each as a sequence alone.
 */
export function attentionExpected(
  qkv: Vector,
  dout: Vector,
  shape: AttentionSizes,
  options: ExpectedOptions,
): AttentionResults {
  const { B, T, H, KV, D } = shape;
  if (options.documents) return expectedByDocument(qkv, dout, shape, options, options.documents);
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
    delta: { reference: deltaOf(dout, out, shape), bound: bounds.delta },
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

function expectedByDocument(
  qkv: Vector,
  dout: Vector,
  { B, T, ...heads }: AttentionSizes,
  options: ExpectedOptions,
  lengths: readonly number[],
): AttentionResults {
  const { H, KV, D } = heads;
  const width = { qkv: (H + 2 * KV) * D, out: H * D };
  const empty = (count: number) => ({ reference: new Float64Array(count), bound: new Float64Array(count) });
  const whole = {
    out: empty(B * T * width.out),
    logsumexp: empty(B * H * T),
    delta: empty(B * H * T),
    dqkv: empty(B * T * width.qkv),
  };
  for (const document of documentsOf({ B, T }, lengths)) {
    const { first, length } = document;
    const alone = attentionExpected(
      partOf(qkv, document, width.qkv),
      partOf(dout, document, width.out),
      { B: 1, T: length, ...heads },
      { ...options, documents: undefined },
    );
    const [b, t] = [Math.floor(first / T), first % T];
    for (const part of ['reference', 'bound'] as const) {
      whole.out[part].set(alone.out[part], first * width.out);
      whole.dqkv[part].set(alone.dqkv[part], first * width.qkv);
      for (const name of ['logsumexp', 'delta'] as const) {
        for (let h = 0; h < H; h++) {
          whole[name][part].set(alone[name][part].slice(h * length, (h + 1) * length), (b * H + h) * T + t);
        }
      }
    }
  }
  return whole;
}

/** dout · out of each query row, [B, H, T]. */
function deltaOf(dout: Vector, out: Vector, { B, T, H, D }: AttentionSizes): Vector {
  const delta = new Float64Array(B * H * T);
  for (let i = 0; i < dout.length; i++) {
    const row = Math.floor(i / D);
    const [b, t, h] = [Math.floor(row / H / T), Math.floor(row / H) % T, row % H];
    delta[(b * H + h) * T + t]! += dout[i]! * out[i]!;
  }
  return delta;
}
