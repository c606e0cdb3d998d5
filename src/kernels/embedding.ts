/** Rows of a table by their numbers, and the gradient of the table. */
import { type KernelCall, kernelCall, type Operand } from './call.js';
import {
  defaultReduceConstants,
  defaultRows,
  eachRow,
  type RowSizes,
  valueType,
  vectorConstants,
  vectorOf,
} from './row-variant.js';
import { rowwise } from './rowwise.js';
import type { VariantTable } from './variants.js';
import { rowWindows } from './windows.js';

/** Rows of a table beyond a binding are taken in windows: a row whose id is outside a window is left to another. */
export function embeddingForward(
  variants: VariantTable,
  { rows, columns, entries }: RowSizes & { readonly entries: number },
  { ids, table, y }: Record<'ids' | 'table' | 'y', Operand>,
): KernelCall[] {
  const vector = vectorOf(defaultRows(variants.adapter).vector, columns);
  const windows = rowWindows(variants.maxBindingBytes, entries, { table: [table, columns] });
  return windows.flatMap(({ start, count, operands }) =>
    rowwise(
      variants,
      'embedding_forward',
      { rows, columns },
      {
        byRow: { ids: [ids, 1], y: [y, columns] },
        shared: operands,
        params: { columns: columns / vector, first: start, entries: count },
        constants: {
          ...vectorConstants(vector),
          TABLE_BFLOAT: table.type === 'bf16',
          TABLE_TYPE: valueType(table.type, vector),
        },
      },
    ),
  );
}

/** `order` and `starts` group the rows by id: see groupRowsById. */
export function embeddingBackward(
  variants: VariantTable,
  { rows, columns, entries }: RowSizes & { readonly entries: number },
  { ids, order, starts, dy, dtable }: Record<'ids' | 'order' | 'starts' | 'dy' | 'dtable', Operand>,
): KernelCall[] {
  const { each, workgroups } = eachRow(variants.adapter, rows);
  const vector = vectorOf(defaultRows(variants.adapter).vector, columns);
  const windows = rowWindows(variants.maxBindingBytes, entries, { dtable: [dtable, columns] });
  return windows.map(({ start, count, operands }) =>
    kernelCall('embedding_backward', {
      constants: {
        ...defaultReduceConstants(variants.adapter),
        ...each,
        VALUE: valueType('f32', vector),
        TABLE_VALUE: valueType(dtable.type, vector),
      },
      operands: { ids, order, starts, dy, ...operands },
      params: { rows, columns: columns / vector, first_entry: start, entries: count },
      workgroups,
      rounds: (each.ROWS * columns) / vector / defaultRows(variants.adapter).workgroup,
    }),
  );
}
