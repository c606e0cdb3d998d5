/** RMSNorm over single heads of rows in which heads stand side by side; all of a kind may be one head. */
import type { AdapterDescription } from '../gpu/adapters.js';
import { checkIndexable, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { ROWS_PER_PART, rowParts } from './parts.js';
import { defaultRows, eachRow, type RowVariant, reduceConstants } from './row-variant.js';
import { columnSumParts, columnSums } from './sum-rows.js';
import type { VariantTable } from './variants.js';
import { rowWindows } from './windows.js';

/** Rows of `rowSize` elements, of which `heads` heads of `headSize` each, from element `offset` on, are normed. */
export interface HeadNormSizes {
  readonly rows: number;
  readonly heads: number;
  readonly headSize: number;
  readonly rowSize: number;
  readonly offset: number;
  /** Whether weights are taken as 1 + weight. */
  readonly unitOffset?: boolean;
}

/** Up to this size a head is short: in workgroup memory, of more threads than these most would wait. */
const SHORT = 256;
const MOST_THREADS = 32;

function variantOf(adapter: AdapterDescription, headSize: number): RowVariant {
  const rows = defaultRows(adapter);
  if (rows.lanes > 0 || headSize > SHORT) return rows;
  return { ...rows, workgroup: Math.min(MOST_THREADS, rows.workgroup) };
}

/** x [rows, rowSize] in place, by weight [headSize]; rstd [rows, heads] is written. */
export function headNormForward(
  variants: VariantTable,
  { rows, heads, headSize, rowSize, offset, unitOffset = false, eps }: HeadNormSizes & { readonly eps: number },
  { weight, x, rstd }: Record<'weight' | 'x' | 'rstd', Operand>,
): KernelCall[] {
  checkIndexable('head_norm_forward', rows * rowSize);
  const byRow = { x: [x, rowSize], rstd: [rstd, heads] } as const;
  return rowWindows(variants.maxBindingBytes, rows, byRow).map(({ count, operands }) => {
    const { each, workgroups } = eachRow(variants.adapter, count * heads);
    const constants = { ...reduceConstants(variantOf(variants.adapter, headSize)), ...each, UNIT_OFFSET: unitOffset };
    return kernelCall('head_norm_forward', {
      constants: { ...constants, TYPE: x.type },
      operands: { weight, ...operands },
      params: { rows: count * heads, heads, offset, row_size: rowSize, head_size: headSize, eps },
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

/** The gradient dx [rows, rowSize] in place, of x as it was before the norm; what is not normed stays. */
export function headNormBackward(
  variants: VariantTable,
  sizes: HeadNormSizes,
  operands: Record<'weight' | 'x' | 'rstd' | 'dx', Operand> & { readonly dweight?: HeadNormWeightGradient | undefined },
): KernelCall[] {
  const { rows, heads, headSize, rowSize, offset, unitOffset = false } = sizes;
  const { weight, x, rstd, dx, dweight } = operands;
  checkIndexable('head_norm_backward', rows * rowSize);
  const constants = {
    ...reduceConstants(variantOf(variants.adapter, headSize)),
    ROWS: ROWS_PER_PART,
    TYPE: x.type,
    WEIGHT: dweight !== undefined,
    UNIT_OFFSET: unitOffset,
  };
  const byRow = { x: [x, rowSize], rstd: [rstd, heads], dx: [dx, rowSize] } as const;
  const parts = rowParts(rows);
  const place = { heads, offset, row_size: rowSize, head_size: headSize, parts };
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
