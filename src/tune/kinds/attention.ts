/** Attention, forward and the two passes of its gradient, to be tuned. */
import type { AdapterDescription } from '../../gpu/adapters.js';
import {
  ATTENTION_OPERANDS,
  type AttentionOperand,
  attentionCall,
  attentionOperands,
  matrixWidth,
} from '../../kernels/attention.js';
import {
  type AttentionKernel,
  type AttentionSizes,
  defaultAttention,
  isOnMatrices,
  type MatrixAttention,
} from '../../kernels/attention-variant.js';
import { BYTES, type ElementType } from '../../kernels/element-type.js';
import { matrixShapes, unusableMatrix } from '../../kernels/matmul-variant.js';
import { attention as attention64, attentionBackward } from '../../numerics/attention.js';
import { attentionBounds } from '../../numerics/attention-bounds.js';
import type { Vector } from '../../numerics/reference.js';
import { sideBySide } from '../../numerics/side-by-side.js';
import { inHalves, isSoftware, type Needs, product, type TunedKind, values } from '../kind.js';

export const attention: TunedKind<'attention'> = {
  shipped: (adapter, { kernel }) => defaultAttention(adapter, kernel),

  variants(adapter, { type }) {
    const lanes = adapter.subgroupSize;
    const bySubgroups = product({ own: [1, 2], rows: [1, 2, 4, 8] }).map(tile => ({
      subgroups: true,
      workgroup: lanes,
      ...tile,
    }));
    const byMemory = product({
      workgroup: isSoftware(adapter) ? [64] : [32, 64, 128, 256],
      own: isSoftware(adapter) ? [1] : [1, 2],
      rows: isSoftware(adapter) ? [8] : [4, 8, 16, 32],
    });
    // a CPU has no matrices: there they take seconds to compile and gain nothing
    const shapes = isSoftware(adapter) || type !== 'f16' ? [] : matrixShapes(adapter);
    const onMatrices = shapes.flatMap(matrix =>
      product({ subgroupsM: [1, 2, 4], rows: [16, 32, 64] }).map(tile => ({ lanes, matrix, ...tile })),
    );
    return [...(lanes > 0 ? bySubgroups : []), ...byMemory.map(tile => ({ subgroups: false, ...tile })), ...onMatrices];
  },

  needs(request, variant) {
    const { D } = request.sizes;
    if (isOnMatrices(variant)) return matrixNeeds(request.kernel, variant, D);
    const { subgroups, workgroup, own, rows } = variant;
    return {
      threads: workgroup,
      workgroupBytes: subgroups ? 0 : 2 * BYTES.f32 * rows * D,
      ...(subgroups && { lanes: workgroup }),
      sums: own * rows, // the rows in registers, own · D, are few enough in all variants
      unrolled: 2 * own * rows * D,
    };
  },

  refusal: (adapter, { type }, variant) => (isOnMatrices(variant) ? matrixRefusal(adapter, type, variant) : undefined),

  tensors({ kernel, sizes, type }) {
    const shapes = shapesOf(sizes, type);
    return ATTENTION_OPERANDS[kernel].map(name => ({ name, ...shapes[name] }));
  },

  calls({ kernel, sizes }, variant, operands) {
    const names: readonly AttentionOperand[] = ATTENTION_OPERANDS[kernel];
    const named = attentionOperands(kernel, name => operands[names.indexOf(name)]!);
    return [attentionCall(kernel, variant, sizes, named)];
  },

  small({ kernel, sizes: { H, KV, D }, type }) {
    return { kernel, sizes: { B: 1, T: 133, H: H / KV, KV: 1, D }, type }; // one group of heads
  },

  checkedBy: variant => `${variant.rows} ${isOnMatrices(variant)}`,

  check({ kernel, sizes, type }, variant) {
    const { D } = sizes;
    const shape = { T: sizes.T, heads: sizes.H, D };
    const q = values('q', sizes.T * sizes.H * D);
    const [k, v] = [values('k', sizes.T * D), values('v', sizes.T * D)];
    const dout = values('dout', q.length);
    const { out, logsumexp } = attention64({ q, k, v }, sizes);
    const { dq, dk, dv } = attentionBackward({ q, k, v }, dout, sizes);
    // the sum is rescaled once for so many rows, and the bound goes by that
    const halves = isOnMatrices(variant);
    const bounds = attentionBounds({ q, k, v }, out, dout, sizes, { rescale: variant.rows, halves });
    const stored = type === 'f16' ? inHalves(out) : out;
    const delta = rowDots(dout, out, shape);
    // delta is made of `out` as it is stored: the error of that reaches every element of dq by |k| <= 2
    const deltaBound = rowDots(
      dout.map(Math.abs),
      bounds.out.map((e, i) => e + Math.abs(stored[i]! - out[i]!)),
      shape,
    );
    const sums = rowDots(dout.map(Math.abs), out.map(Math.abs), shape);
    const deltaError = deltaBound.map((value, i) => value + 2 ** -23 * (D + 1) * sums[i]!);
    const dqBound = bounds.dq.map((value, i) => {
      const t = Math.floor(i / (sizes.H * D));
      const head = Math.floor(i / D) % sizes.H;
      return value + (2 * deltaError[head * sizes.T + t]!) / Math.sqrt(D);
    });
    const none = new Float64Array(k.length);
    const untouched = new Float64Array(q.length);
    const joined = (parts: readonly Vector[]) => sideBySide(parts, sizes.T);
    const qkv = joined([q, k, v]);
    const zeros = { qkv: new Float64Array(qkv.length), row: new Float64Array(logsumexp.length), out: untouched };
    if (kernel === 'attention_forward') {
      const outputs = [
        { index: 1, expected: out, bound: bounds.out },
        { index: 2, expected: logsumexp, bound: bounds.logsumexp },
      ];
      return { inputs: [qkv, zeros.out, zeros.row], outputs };
    }
    if (kernel === 'attention_backward_query') {
      const outputs = [
        { index: 4, expected: joined([dq, none, none]), bound: joined([dqBound, none, none]) },
        { index: 5, expected: delta, bound: deltaError },
      ];
      return { inputs: [qkv, stored, logsumexp, dout, zeros.qkv, zeros.row], outputs };
    }
    const expected = joined([untouched, dk, dv]);
    const bound = joined([untouched, bounds.dk, bounds.dv]);
    return { inputs: [qkv, logsumexp, delta, dout, zeros.qkv], outputs: [{ index: 4, expected, bound }] };
  },
};

/** Tiles in workgroup memory: rows of halves, scores, and what leaves the matrices. */
function matrixNeeds(kernel: AttentionKernel, variant: MatrixAttention, D: number): Needs {
  const { lanes, subgroupsM, rows, matrix } = variant;
  const [M, N, K] = matrix;
  const own = subgroupsM * M;
  const width = matrixWidth(variant, D);
  const PAD = 8;
  const isForward = kernel === 'attention_forward';
  const staged = BYTES.f16 * (width + PAD) * ((isForward ? 1 : 2) * own + 2 * rows);
  const scores = own * (rows + PAD) * (isForward ? BYTES.f32 + BYTES.f16 : 2 * BYTES.f32 + 2 * BYTES.f16);
  const sums = BYTES.f32 * own * (isForward ? width + PAD : N);
  const products = (rows / N) * (width / K);
  return {
    threads: lanes * subgroupsM,
    workgroupBytes: staged + scores + sums,
    lanes,
    sums: ((isForward ? N : 2 * width) * M) / lanes,
    unrolled: 4 * products,
  };
}

function matrixRefusal(
  adapter: AdapterDescription,
  type: ElementType,
  { lanes, matrix, rows }: MatrixAttention,
): string | undefined {
  const [M, N, K] = matrix;
  if (lanes % M !== 0) return `${M} rows of a matrix cannot be shared out among ${lanes} lanes`;
  if (rows % N !== 0 || rows % K !== 0) return `${rows} rows that are not whole matrices of ${matrix.join(' x ')}`;
  return unusableMatrix(adapter, type, matrix);
}

function shapesOf({ B, T, H, KV, D }: AttentionSizes, type: ElementType) {
  const qkv = { elements: B * T * (H + 2 * KV) * D, type };
  const out = { elements: B * T * H * D, type };
  const row = { elements: B * H * T, type: 'f32' as const };
  return { qkv, out, logsumexp: row, dout: out, dqkv: qkv, delta: row } satisfies Record<AttentionOperand, unknown>;
}

/** Dot products of rows [T, heads, D] → [heads, T]. */
function rowDots(a: Vector, b: Vector, { T, heads, D }: { T: number; heads: number; D: number }): Vector {
  const dots = new Float64Array(heads * T);
  a.forEach((value, i) => {
    dots[(Math.floor(i / D) % heads) * T + Math.floor(i / (heads * D))]! += value * b[i]!;
  });
  return dots;
}
