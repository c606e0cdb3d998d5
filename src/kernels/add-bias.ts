/** Biases of rows; sum_rows makes their gradient. */
import type { KernelCall, Operand } from './call.js';
import { defaultRows, type RowSizes, valueType, vectorOf } from './row-variant.js';
import { rowwise } from './rowwise.js';
import type { VariantTable } from './variants.js';

/** x [rows, columns] += bias [columns], in place. */
export function addBias(
  variants: VariantTable,
  sizes: RowSizes,
  { bias, x }: Record<'bias' | 'x', Operand>,
): KernelCall[] {
  const { columns } = sizes;
  const vector = vectorOf(defaultRows(variants.adapter).vector, columns);
  return rowwise(variants, 'add_bias', sizes, {
    byRow: { x: [x, columns] },
    shared: { bias },
    params: { columns: columns / vector },
    constants: { TYPE: valueType(x.type, vector), VALUE: valueType('f32', vector) },
  });
}
