/** Sums over the rows of a tensor, in a fixed order: of what is large, parts first. */
import { checkIndexable, grid, type KernelCall, kernelCall, type Operand } from './call.js';
import { defaultRows, type RowSizes, type RowVariant } from './row-variant.js';
import type { VariantTable } from './variants.js';
import { rowWindows } from './windows.js';

/** Rows of one part: a power of two. */
const ROWS_PER_PART = 128;
export const columnSumParts = (rows: number): number => Math.ceil(rows / ROWS_PER_PART);

/** total [columns] += the sums of the columns of values [rows, columns]; `partial` [columnSumParts(rows), columns]. */
export function columnSums(
  variants: VariantTable,
  { rows, columns }: RowSizes,
  { values, partial, total }: Record<'values' | 'partial' | 'total', Operand>,
): KernelCall[] {
  checkIndexable('sum_rows', rows * columns);
  const variant = defaultRows(variants.adapter);
  const windows = rowWindows(variants.maxBindingBytes, rows, { values: [values, columns] }, ROWS_PER_PART);
  const parts = windows.map(({ start, count, operands }) =>
    call(variant, { rows: count, columns }, [operands.values, partial], {
      partRows: ROWS_PER_PART,
      first: start / ROWS_PER_PART,
    }),
  );
  return [...parts, sumRows(variant, { rows: columnSumParts(rows), columns }, { partial, total })];
}

/** total [columns] += the sum of the rows of `partial` [rows, columns], all of which one binding holds. */
export const sumRows = (
  variant: RowVariant,
  sizes: RowSizes,
  { partial, total }: Record<'partial' | 'total', Operand>,
): KernelCall => call(variant, sizes, [partial, total]);

function call(
  { workgroup }: RowVariant,
  { rows, columns }: RowSizes,
  [values, sums]: readonly [Operand, Operand],
  parts?: { readonly partRows: number; readonly first: number },
): KernelCall {
  const COLUMNS = Math.min(32, workgroup);
  const { partRows, first } = parts ?? { partRows: rows, first: 0 };
  const SLICES = Math.floor(workgroup / COLUMNS);
  return kernelCall('sum_rows', {
    constants: { COLUMNS, SLICES, TYPE: values.type, ACCUMULATE: !parts },
    operands: { values, sums },
    params: { rows, columns, part_rows: partRows, first },
    workgroups: grid('sum_rows', Math.ceil(columns / COLUMNS), Math.ceil(rows / partRows)),
    rounds: Math.min(partRows, rows) / SLICES,
  });
}
