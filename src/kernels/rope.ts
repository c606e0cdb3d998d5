/** Rotary position embedding, and its gradient, the rotation back. */
import { checkIndexable, type KernelCall, kernelCall, type Operand } from './call.js';
import { defaultRows, eachRow, valueType, vectorConstants, vectorOf } from './row-variant.js';
import type { VariantTable } from './variants.js';
import { type RowOperand, rowWindows } from './windows.js';

export interface RopeSizes {
  readonly B: number;
  readonly T: number;
  /** Heads of a row that are rotated: the first of `rowHeads`. */
  readonly heads: number;
  readonly rowHeads: number;
  readonly headSize: number;
}

/**
 * x [B, T, rowHeads, headSize] in place, each row by its position behind the begin of its document, `documents` [B, T],
 * where they are given. `inverse` gives the gradient.
 */
export function rope(
  variants: VariantTable,
  { B, T, heads, rowHeads, headSize }: RopeSizes,
  inverse: boolean,
  { table, x, documents }: Record<'table' | 'x', Operand> & { readonly documents?: Operand | undefined },
): KernelCall[] {
  checkIndexable('rope', B * T * rowHeads * headSize);
  const { workgroup, vector: widest } = defaultRows(variants.adapter);
  const WORKGROUP = Math.min(32, workgroup);
  const vector = vectorOf(widest, headSize / 2);
  const types = { ...vectorConstants(vector), TYPE: valueType(x.type, vector) };
  const DOCUMENTS = documents !== undefined;
  const byRow: Record<'x' | 'documents', RowOperand | undefined> = {
    x: [x, rowHeads * headSize],
    documents: documents && [documents, 1],
  };
  return rowWindows(variants.maxBindingBytes, B * T, byRow).map(({ start, count, operands }) => {
    const { each, workgroups } = eachRow(variants.adapter, count);
    return kernelCall('rope', {
      constants: { WORKGROUP, ...each, HEAD_SIZE: headSize, INVERSE: inverse, DOCUMENTS, ...types },
      operands: { table, ...operands },
      params: { rows: count, context: T, heads, row_heads: rowHeads, first: start },
      workgroups,
      rounds: (each.ROWS * heads * headSize) / 2 / vector / WORKGROUP,
    });
  });
}
