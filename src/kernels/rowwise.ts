/** What kernels have in common that take a tensor by rows, several a workgroup, one after another. */
import { checkIndexable, type KernelCall, kernelCall, type Operand } from './call.js';
import { defaultRows, eachRow, type RowSizes, type RowVariant, reduceConstants } from './row-variant.js';
import type { Constants } from './source.js';
import type { VariantTable } from './variants.js';
import { type RowOperand, rowWindows } from './windows.js';

export interface RowwiseArguments {
  /** Operands with their elements a row, which are taken in windows where they exceed a binding. */
  readonly byRow: Readonly<Record<string, RowOperand | undefined>>;
  /** Those that are the same for all rows. */
  readonly shared?: Readonly<Record<string, Operand | undefined>>;
  /** The parameters beside `rows` and `columns`. */
  readonly params?: Readonly<Record<string, number>>;
  readonly constants?: Constants;
  readonly variant?: RowVariant;
}

/** Calls of a kernel on `rows` rows. */
export function rowwise(
  variants: VariantTable,
  name: string,
  { rows, columns }: RowSizes,
  { byRow, shared, params, constants, variant = defaultRows(variants.adapter) }: RowwiseArguments,
): KernelCall[] {
  checkIndexable(name, rows * columns);
  // those whose rows are counted in vectors say so themselves
  const vectors = params?.columns ?? columns / Number(constants?.VECTOR ?? 1);
  return rowWindows(variants.maxBindingBytes, rows, byRow).map(({ count, operands }) => {
    const { each, workgroups } = eachRow(variants.adapter, count);
    return kernelCall(name, {
      constants: { ...reduceConstants(variant), ...constants, ...each },
      operands: { ...operands, ...shared },
      params: { rows: count, columns, ...params },
      workgroups,
      rounds: (each.ROWS * vectors) / variant.workgroup,
    });
  });
}
