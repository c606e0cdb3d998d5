/** Biases of rows; sum_rows makes their gradient. */
import type { KernelCall, Operand } from './call.js';
import type { RowSizes } from './row-variant.js';
import { rowwise } from './rowwise.js';
import type { VariantTable } from './variants.js';

/** x [rows, columns] += bias [columns], in place. */
export const addBias = (
  variants: VariantTable,
  sizes: RowSizes,
  { bias, x }: Record<'bias' | 'x', Operand>,
): KernelCall[] =>
  rowwise(variants, 'add_bias', sizes, {
    byRow: { x: [x, sizes.columns] },
    shared: { bias },
    constants: { TYPE: x.type },
  });
