/** RMSNorm over rows: forward, and its gradients for the input and for the weight. */
import { checkIndexable, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { ROWS_PER_PART, rowParts } from './parts.js';
import { type RowSizes, reduceConstants, valueType, vectorConstants, vectorOf } from './row-variant.js';
import { rowwise } from './rowwise.js';
import { sumRows } from './sum-rows.js';
import type { VariantTable } from './variants.js';
import { type RowOperand, rowWindows } from './windows.js';

/** Sizes; `unitOffset`: weights are taken as 1 + weight. */
export interface RmsnormSizes extends RowSizes {
  readonly unitOffset?: boolean;
}

export function rmsnormForward(
  variants: VariantTable,
  { unitOffset = false, ...sizes }: RmsnormSizes & { readonly eps: number },
  { x, weight, y, rstd }: Record<'x' | 'weight' | 'y' | 'rstd', Operand>,
): KernelCall[] {
  const { rows, columns, eps } = sizes;
  const variant = variants.of('rows', { kernel: 'rmsnorm_forward', rows, columns, type: y.type });
  const vector = vectorOf(variant.vector, columns);
  return rowwise(variants, 'rmsnorm_forward', sizes, {
    byRow: { x: [x, columns], y: [y, columns], rstd: [rstd, 1] },
    shared: { weight },
    params: { eps },
    constants: { ...vectorConstants(vector), Y_VALUE: valueType(y.type, vector), UNIT_OFFSET: unitOffset },
    variant,
  });
}

/** Returns the parts that the weight's gradient is summed in. */
export const rmsnormParts = rowParts;

/** `partial` [rmsnormParts(rows), columns] takes sums over parts of the rows; they are added to `total` [columns]. */
export type WeightGradient = Record<'partial' | 'total', Operand>;

export function rmsnormBackward(
  variants: VariantTable,
  { rows, columns, unitOffset = false }: RmsnormSizes,
  operands: Record<'x' | 'weight' | 'rstd' | 'dy' | 'dx', Operand> & {
    readonly addend?: Operand | undefined;
    readonly dweight?: WeightGradient | undefined;
  },
): KernelCall[] {
  const { x, weight, rstd, dy, addend, dx, dweight } = operands;
  checkIndexable('rmsnorm_backward', rows * columns);
  const variant = variants.of('rows', { kernel: 'rmsnorm_backward', rows, columns, type: dy.type });
  const vector = vectorOf(variant.vector, columns);
  const constants = {
    ...reduceConstants(variant),
    ...vectorConstants(vector),
    ROWS: ROWS_PER_PART,
    ADDEND: addend !== undefined,
    WEIGHT: dweight !== undefined,
    DY_VALUE: valueType(dy.type, vector),
    UNIT_OFFSET: unitOffset,
  };
  const byRow = {
    x: [x, columns],
    rstd: [rstd, 1],
    dy: [dy, columns],
    dx: [dx, columns],
    addend: addend && [addend, columns],
  } satisfies Record<string, RowOperand | undefined>;
  const parts = rowWindows(variants.maxBindingBytes, rows, byRow, ROWS_PER_PART).map(({ start, count, operands }) =>
    kernelCall('rmsnorm_backward', {
      constants,
      operands: { ...operands, weight, partial: dweight?.partial },
      params: { rows: count, columns, first: start / ROWS_PER_PART },
      workgroups: linearGrid(rmsnormParts(count)),
      rounds: columns / vector / variant.workgroup,
    }),
  );
  return dweight ? [...parts, sumRows(variant, { rows: rmsnormParts(rows), columns }, dweight)] : parts;
}
