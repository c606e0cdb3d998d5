/** RMSNorm over single heads of rows in which heads stand side by side. */
import type { AdapterDescription } from '../gpu/adapters.js';
import { checkIndexable, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { ROWS_PER_PART, rowParts } from './parts.js';
import { defaultRows, eachRow, type RowVariant, reduceConstants } from './row-variant.js';
import { columnSumParts, columnSums } from './sum-rows.js';
import type { VariantTable } from './variants.js';
import { rowWindows } from './windows.js';

/** Rows of `rowHeads` heads of `headSize` elements each, of which `heads` from `firstHead` on are normed. */
export interface HeadNormSizes {
  readonly rows: number;
  readonly heads: number;
  readonly firstHead: number;
  readonly rowHeads: number;
  readonly headSize: number;
}

/** A head is short: in workgroup memory, of more threads than this most would wait. */
const MOST_THREADS = 32;

function variantOf(adapter: AdapterDescription): RowVariant {
  const rows = defaultRows(adapter);
  return rows.lanes > 0 ? rows : { ...rows, workgroup: Math.min(MOST_THREADS, rows.workgroup) };
}

/** x [rows, rowHeads, headSize] in place, by weight [headSize]; rstd [rows, heads] is written. */
export function headNormForward(
  variants: VariantTable,
  { rows, heads, firstHead, rowHeads, headSize, eps }: HeadNormSizes & { readonly eps: number },
  { weight, x, rstd }: Record<'weight' | 'x' | 'rstd', Operand>,
): KernelCall[] {
  checkIndexable('head_norm_forward', rows * rowHeads * headSize);
  const byRow = { x: [x, rowHeads * headSize], rstd: [rstd, heads] } as const;
  return rowWindows(variants.maxBindingBytes, rows, byRow).map(({ count, operands }) => {
    const { each, workgroups } = eachRow(variants.adapter, count * heads);
    return kernelCall('head_norm_forward', {
      constants: { ...reduceConstants(variantOf(variants.adapter)), ...each, TYPE: x.type },
      operands: { weight, ...operands },
      params: { rows: count * heads, heads, first_head: firstHead, row_heads: rowHeads, head_size: headSize, eps },
      workgroups,
    });
  });
}

/** Rows of `headSize` elements that sums over parts of the rows take, and that the sums of these take. */
export function headNormParts({ rows, heads }: Pick<HeadNormSizes, 'rows' | 'heads'>) {
  const partial = heads * rowParts(rows);
  return { partial, sums: columnSumParts(partial) };
}

/** `partial` and `sums` of at least headNormParts rows [headSize]; what they come to is added to `total` [headSize]. */
export type HeadNormWeightGradient = Record<'partial' | 'sums' | 'total', Operand>;

/**
 * The gradient dx [rows, rowHeads, headSize] in place, of x as it was before the norm; heads that are not normed stay.
 */
export function headNormBackward(
  variants: VariantTable,
  sizes: HeadNormSizes,
  operands: Record<'weight' | 'x' | 'rstd' | 'dx', Operand> & { readonly dweight?: HeadNormWeightGradient | undefined },
): KernelCall[] {
  const { rows, heads, firstHead, rowHeads, headSize } = sizes;
  const { weight, x, rstd, dx, dweight } = operands;
  checkIndexable('head_norm_backward', rows * rowHeads * headSize);
  const constants = {
    ...reduceConstants(variantOf(variants.adapter)),
    ROWS: ROWS_PER_PART,
    TYPE: x.type,
    WEIGHT: dweight !== undefined,
  };
  const width = rowHeads * headSize;
  const byRow = { x: [x, width], rstd: [rstd, heads], dx: [dx, width] } as const;
  const parts = rowParts(rows);
  const place = { heads, first_head: firstHead, row_heads: rowHeads, head_size: headSize, parts };
  const calls = rowWindows(variants.maxBindingBytes, rows, byRow, ROWS_PER_PART).map(({ start, count, operands }) =>
    kernelCall('head_norm_backward', {
      constants,
      operands: { weight, ...operands, partial: dweight?.partial },
      params: { rows: count, ...place, first: start / ROWS_PER_PART },
      workgroups: linearGrid(heads * rowParts(count)),
    }),
  );
  if (!dweight) return calls;
  const { partial: values, sums: partial, total } = dweight;
  const addends = { rows: heads * parts, columns: headSize };
  return [...calls, ...columnSums(variants, addends, { values, partial, total })];
}
