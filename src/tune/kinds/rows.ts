/** RMSNorm and cross-entropy, which take a tensor by rows, to be tuned. */
import type { KernelCall, Operand } from '../../kernels/call.js';
import { crossEntropy } from '../../kernels/cross-entropy.js';
import type { ElementType } from '../../kernels/element-type.js';
import { rmsnormBackward, rmsnormForward, rmsnormParts } from '../../kernels/rmsnorm.js';
import { defaultRows, type RowKernel, type RowRequest, rowKey } from '../../kernels/row-variant.js';
import { VariantTable } from '../../kernels/variants.js';
import {
  crossEntropyBounds,
  rmsnormBound,
  rmsnormInputBound,
  rmsnormWeightBound,
  rstdBound,
} from '../../numerics/bounds.js';
import {
  crossEntropy as crossEntropy64,
  rmsnorm,
  rmsnormBackward as rmsnormBackward64,
} from '../../numerics/reference.js';
import { type Check, isSoftware, oddSize, product, type TensorSpec, type TunedKind, values } from '../kind.js';

const EPS = 1e-5;
const SCALE = 1 / 1024;
const LOSS_SCALE = 1024;

export const rows: TunedKind<'rows'> = {
  shipped: defaultRows,

  variants(adapter) {
    const { subgroupSize: lanes } = adapter;
    const vectors = [1, 4];
    const sizes = isSoftware(adapter) ? [lanes, 4 * lanes] : [lanes, 64, 128, 256, 512];
    const workgroups = [...new Set(sizes.filter(size => size >= lanes && size % lanes === 0))];
    const bySubgroups = product({ lanes: [lanes], workgroup: workgroups, vector: vectors });
    const inMemory = { lanes: [0], workgroup: isSoftware(adapter) ? [32] : [64, 128, 256, 512], vector: vectors };
    return [...(lanes > 0 ? bySubgroups : []), ...product(inMemory)];
  },

  needs: (_, { lanes, workgroup, vector }) => ({
    threads: workgroup,
    // a word a thread, or a subgroup, for each of the reductions that a kernel may use
    workgroupBytes: lanes === workgroup ? 0 : 8 * (workgroup / Math.max(1, lanes)),
    ...(lanes > 0 && { lanes }),
    sums: vector,
    unrolled: vector,
  }),

  tensors: request => KERNELS[request.kernel].tensors(request),

  calls(request, variant, operands, { adapter }) {
    const table = new VariantTable(adapter, { rows: { [rowKey(request)]: variant } });
    return KERNELS[request.kernel].calls(request, operands, table);
  },

  small: ({ kernel, columns, type }) => ({ kernel, rows: 5, columns: oddSize(columns, 1100), type }),

  check: request => KERNELS[request.kernel].check(request),
};

interface TunedRows {
  tensors(request: RowRequest): TensorSpec[];
  calls(request: RowRequest, operands: readonly Operand[], table: VariantTable): KernelCall[];
  check(request: RowRequest): Check;
}

const matrix = (name: string, { rows: R, columns: C }: RowRequest, type: ElementType = 'f32') => ({
  name,
  elements: R * C,
  type,
});

const KERNELS: Readonly<Record<RowKernel, TunedRows>> = {
  rmsnorm_forward: {
    tensors: request => [
      matrix('x', request),
      { name: 'weight', elements: request.columns, type: 'f32' },
      matrix('y', request, request.type),
      { name: 'rstd', elements: request.rows, type: 'f32' },
    ],
    calls(request, operands, table) {
      const [x, weight, y, rstd] = operands as [Operand, Operand, Operand, Operand];
      return rmsnormForward(table, { ...request, eps: EPS }, { x, weight, y, rstd });
    },
    check({ rows: R, columns: C }) {
      const [x, weight] = [values('x', R * C), values('weight', C)];
      const { y, rstd } = rmsnorm(x, weight, R, C, Math.fround(EPS));
      const outputs = [
        { index: 2, expected: y, bound: rmsnormBound(y, weight, rstd, C) },
        { index: 3, expected: rstd, bound: rstdBound(rstd, C) },
      ];
      return { inputs: [x, weight, new Float64Array(R * C), new Float64Array(R)], outputs };
    },
  },

  /** With the weight's gradient, as training has it. */
  rmsnorm_backward: {
    tensors: request => [
      matrix('x', request),
      { name: 'weight', elements: request.columns, type: 'f32' },
      { name: 'rstd', elements: request.rows, type: 'f32' },
      matrix('dy', request, request.type),
      matrix('dx', request),
      { name: 'partial', elements: rmsnormParts(request.rows) * request.columns, type: 'f32' },
      { name: 'total', elements: request.columns, type: 'f32' },
    ],
    calls(request, operands, table) {
      const [x, weight, rstd, dy, dx, partial, total] = operands as Operand[];
      return rmsnormBackward(table, request, {
        x: x!,
        weight: weight!,
        rstd: rstd!,
        dy: dy!,
        dx: dx!,
        dweight: { partial: partial!, total: total! },
      });
    },
    check({ rows: R, columns: C }) {
      const [x, weight, dy] = [values('x', R * C), values('weight', C), values('dy', R * C)];
      const rstd = rmsnorm(x, weight, R, C, EPS).rstd.map(Math.fround);
      const { dx, dweight } = rmsnormBackward64(x, weight, rstd, dy, R, C);
      const given = { x, weight, rstd, dy };
      const zeros = [R * C, rmsnormParts(R) * C, C].map(count => new Float64Array(count));
      const outputs = [
        { index: 4, expected: dx, bound: rmsnormInputBound(given, R, C) },
        { index: 6, expected: dweight, bound: rmsnormWeightBound(given, R, C) },
      ];
      return { inputs: [x, weight, rstd, dy, ...zeros], outputs };
    },
  },

  /** In f32 the gradient takes the place of the logits; in f16 it is written apart, times a loss scale. */
  cross_entropy: {
    tensors(request) {
      const targets = new Uint32Array(request.rows);
      return [
        { name: 'targets', elements: request.rows, type: 'u32', words: targets },
        matrix('logits', request),
        { name: 'losses', elements: request.rows, type: 'f32' },
        ...(request.type === 'f16'
          ? [{ name: 'loss scale', elements: 1, type: 'f32' as const }, matrix('dlogits', request, 'f16')]
          : []),
      ];
    },
    calls(request, operands, table) {
      const [targets, logits, losses, lossScale, dlogits] = operands as [Operand, Operand, Operand, Operand?, Operand?];
      return crossEntropy(table, request, { scale: SCALE, lossScale, dlogits }, { targets, logits, losses });
    },
    check({ rows: R, columns: V, type }) {
      const logits = values('logits', R * V);
      const targets = Float64Array.from({ length: R }, (_, r) => (r === 0 ? V - 1 : (r * 997) % V));
      const scale = type === 'f16' ? SCALE * LOSS_SCALE : SCALE;
      const { losses, dlogits } = crossEntropy64(logits, targets, V, scale);
      const bounds = crossEntropyBounds(logits, targets, V, scale);
      const inputs = [targets, logits, new Float64Array(R)];
      if (type === 'f16') inputs.push(Float64Array.of(LOSS_SCALE), new Float64Array(R * V));
      const outputs = [
        { index: 2, expected: losses, bound: bounds.losses },
        { index: type === 'f16' ? 4 : 1, expected: dlogits, bound: bounds.dlogits },
      ];
      return { inputs, outputs };
    },
  },
};
