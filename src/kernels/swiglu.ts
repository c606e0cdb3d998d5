/** SwiGLU of the two halves of rows, and its gradient. */
import type { KernelCall, Operand } from './call.js';
import type { RowSizes } from './row-variant.js';
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
    constants: { TYPE: x.type },
  });
}

export function swigluBackward(
  variants: VariantTable,
  sizes: RowSizes,
  { x, dy, dx }: Record<'x' | 'dy' | 'dx', Operand>,
): KernelCall[] {
  const { columns } = sizes;
  return rowwise(variants, 'swiglu_backward', sizes, {
    byRow: { x: [x, 2 * columns], dy: [dy, columns], dx: [dx, 2 * columns] },
    constants: { TYPE: x.type },
  });
}
