/** SwiGLU of the two halves of rows, and its gradient. */
import type { KernelCall, Operand } from './call.js';
import type { ElementType } from './element-type.js';
import { defaultRows, type RowSizes, valueType, vectorOf } from './row-variant.js';
import { rowwise } from './rowwise.js';
import type { VariantTable } from './variants.js';

/** y[r] = silu(x[r, first half]) * x[r, second half];  x [rows, 2 columns], y [rows, columns]. */
export function swigluForward(
  variants: VariantTable,
  sizes: RowSizes,
  { x, y }: Record<'x' | 'y', Operand>,
): KernelCall[] {
  const { columns } = sizes;
  return rowwise(variants, 'swiglu_forward', sizes, {
    byRow: { x: [x, 2 * columns], y: [y, columns] },
    ...byVectors(variants, columns, x.type),
  });
}

/** What makes the kernels take vectors, where a row is whole ones. */
function byVectors(variants: VariantTable, columns: number, type: ElementType) {
  const vector = vectorOf(defaultRows(variants.adapter).vector, columns);
  const constants = { TYPE: valueType(type, vector), VALUE: valueType('f32', vector) };
  return { constants, params: { columns: columns / vector } };
}

export function swigluBackward(
  variants: VariantTable,
  sizes: RowSizes,
  { x, dy, dx }: Record<'x' | 'dy' | 'dx', Operand>,
): KernelCall[] {
  const { columns } = sizes;
  return rowwise(variants, 'swiglu_backward', sizes, {
    byRow: { x: [x, 2 * columns], dy: [dy, columns], dx: [dx, 2 * columns] },
    ...byVectors(variants, columns, x.type),
  });
}
