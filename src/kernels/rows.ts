/** Kernels that take a tensor by rows. Tensors beyond a binding are taken window by window. */
import { checkIndexable, f32, type KernelCall, kernelCall, linearGrid, type Operand, type Param } from './call.js';
import {
  defaultReduceHoles,
  defaultRows,
  eachRow,
  type RowSizes,
  type RowVariant,
  reduceHoles,
  valueType,
  vectorHoles,
  vectorOf,
} from './row-variant.js';
import type { Holes } from './source.js';
import { rowWindows } from './split.js';
import { sumRows } from './sum-rows.js';
import type { KernelTable } from './table.js';

/** An operand of so many elements a row; `shared` ones are the same for every window. */
type RowOperand = readonly [operand: Operand, rowElements: number | 'shared'];

interface RowCallOptions {
  readonly params?: readonly Param[];
  readonly holes?: Holes;
  readonly variant?: RowVariant;
}

function call(
  kernels: KernelTable,
  name: string,
  { rows, columns }: RowSizes,
  operands: readonly RowOperand[],
  { params = [], holes = {}, variant = defaultRows(kernels.adapter) }: RowCallOptions = {},
): KernelCall[] {
  checkIndexable(name, rows * columns);
  const byRow = operands.filter((entry): entry is readonly [Operand, number] => entry[1] !== 'shared');
  return rowWindows(kernels.maxBindingBytes, rows, byRow).map(window => {
    const windows = [...window.operands];
    const buffers = operands.map(([operand, elements]) => (elements === 'shared' ? operand : windows.shift()!));
    const { ROWS, workgroups } = eachRow(kernels.adapter, window.count);
    return kernelCall(
      name,
      { ...reduceHoles(variant), ...holes, ROWS },
      buffers,
      [window.count, columns, ...params],
      workgroups,
    );
  });
}

export function rmsnormForward(
  kernels: KernelTable,
  sizes: RowSizes & { readonly eps: number },
  { x, weight, y, rstd }: Record<'x' | 'weight' | 'y' | 'rstd', Operand>,
): KernelCall[] {
  const { rows, columns, eps } = sizes;
  const variant = kernels.rows({ kernel: 'rmsnorm_forward', rows, columns, type: y.type });
  const vector = vectorOf(variant.vector, columns);
  const operands: RowOperand[] = [
    [x, columns],
    [weight, 'shared'],
    [y, columns],
    [rstd, 1],
  ];
  const holes = { ...vectorHoles(vector), Y_VALUE: valueType(y.type, vector) };
  return call(kernels, 'rmsnorm_forward', sizes, operands, { params: [f32(eps)], holes, variant });
}

/** Rows of one part of RMSNorm's weight gradient. */
const ROWS_PER_PART = 8;
export const rmsnormParts = (rows: number): number => Math.ceil(rows / ROWS_PER_PART);

/** `partial` [rmsnormParts(rows), columns] takes sums over parts of the rows; they are added to `total` [columns]. */
export type WeightGradient = Record<'partial' | 'total', Operand>;

export function rmsnormBackward(
  kernels: KernelTable,
  { rows, columns }: RowSizes,
  buffers: Record<'x' | 'weight' | 'rstd' | 'dy' | 'dx', Operand> & {
    readonly addend?: Operand | undefined;
    readonly dweight?: WeightGradient | undefined;
  },
): KernelCall[] {
  const name = 'rmsnorm_backward';
  const { x, weight, rstd, dy, addend, dx, dweight } = buffers;
  checkIndexable(name, rows * columns);
  const variant = kernels.rows({ kernel: name, rows, columns, type: dy.type });
  const vector = vectorOf(variant.vector, columns);
  const byRow: (readonly [Operand, number])[] = [
    [x, columns],
    [rstd, 1],
    [dy, columns],
    [dx, columns],
    ...(addend ? [[addend, columns] as const] : []),
  ];
  const holes = {
    ...reduceHoles(variant),
    ...vectorHoles(vector),
    ROWS: ROWS_PER_PART,
    ADDEND: addend !== undefined,
    WEIGHT: dweight !== undefined,
    DY_VALUE: valueType(dy.type, vector),
    PARTIAL_BINDING: addend ? 6 : 5,
    PARAMS_BINDING: 5 + (addend ? 1 : 0) + (dweight ? 1 : 0),
  };
  const parts = rowWindows(kernels.maxBindingBytes, rows, byRow, ROWS_PER_PART).map(({ start, count, operands }) => {
    const [x, ...others] = operands;
    const bound = [x!, weight, ...others, ...(dweight ? [dweight.partial] : [])];
    const params = [count, columns, start / ROWS_PER_PART];
    return kernelCall(name, holes, bound, params, linearGrid(rmsnormParts(count)));
  });
  return dweight ? [...parts, sumRows(variant, { rows: rmsnormParts(rows), columns }, dweight)] : parts;
}

/** y[r] = silu(x[r, first half]) * x[r, second half];  x [rows, 2 columns], y [rows, columns]. */
export function swigluForward(
  kernels: KernelTable,
  sizes: RowSizes,
  { x, y }: Record<'x' | 'y', Operand>,
): KernelCall[] {
  const { columns } = sizes;
  return call(
    kernels,
    'swiglu_forward',
    sizes,
    [
      [x, 2 * columns],
      [y, columns],
    ],
    { holes: { TYPE: x.type } },
  );
}

export function swigluBackward(
  kernels: KernelTable,
  sizes: RowSizes,
  { x, dy, dx }: Record<'x' | 'dy' | 'dx', Operand>,
): KernelCall[] {
  const { columns } = sizes;
  const operands: RowOperand[] = [
    [x, 2 * columns],
    [dy, columns],
    [dx, 2 * columns],
  ];
  return call(kernels, 'swiglu_backward', sizes, operands, { holes: { TYPE: x.type } });
}

/** x [rows, columns] += bias [columns], in place. */
export function addBias(
  kernels: KernelTable,
  sizes: RowSizes,
  { bias, x }: Record<'bias' | 'x', Operand>,
): KernelCall[] {
  const operands: RowOperand[] = [
    [bias, 'shared'],
    [x, sizes.columns],
  ];
  return call(kernels, 'add_bias', sizes, operands, { holes: { TYPE: x.type } });
}

export interface RopeSizes {
  readonly B: number;
  readonly T: number;
  /** Heads of a row that are rotated: the first of `rowHeads`. */
  readonly heads: number;
  readonly rowHeads: number;
  readonly headSize: number;
}

/** x [B, T, rowHeads, headSize] in place. `inverse` gives the gradient. */
export function rope(
  kernels: KernelTable,
  { B, T, heads, rowHeads, headSize }: RopeSizes,
  inverse: boolean,
  { table, x }: Record<'table' | 'x', Operand>,
): KernelCall[] {
  checkIndexable('rope', B * T * rowHeads * headSize);
  const WORKGROUP = Math.min(32, defaultRows(kernels.adapter).workgroup);
  return rowWindows(kernels.maxBindingBytes, B * T, [[x, rowHeads * headSize]]).map(({ start, count, operands }) => {
    const { ROWS, workgroups } = eachRow(kernels.adapter, count);
    const holes = { WORKGROUP, ROWS, HEAD_SIZE: headSize, INVERSE: inverse, TYPE: x.type };
    return kernelCall('rope', holes, [table, ...operands], [count, T, heads, rowHeads, start], workgroups);
  });
}

/** Rows of a table beyond a binding are taken in windows: a row whose id is outside a window is left to another. */
export function embeddingForward(
  kernels: KernelTable,
  { rows, columns, entries }: RowSizes & { readonly entries: number },
  { ids, table, y }: Record<'ids' | 'table' | 'y', Operand>,
): KernelCall[] {
  return rowWindows(kernels.maxBindingBytes, entries, [[table, columns]]).flatMap(({ start, count, operands }) =>
    call(
      kernels,
      'embedding_forward',
      { rows, columns },
      [
        [ids, 1],
        [operands[0]!, 'shared'],
        [y, columns],
      ],
      { params: [start, count], holes: { TABLE_BFLOAT: table.type === 'bf16', TABLE_TYPE: table.type } },
    ),
  );
}

/** `order` and `starts` group the rows by id: see groupRowsById. */
export function embeddingBackward(
  kernels: KernelTable,
  { rows, columns, entries }: RowSizes & { readonly entries: number },
  { ids, order, starts, dy, dtable }: Record<'ids' | 'order' | 'starts' | 'dy' | 'dtable', Operand>,
): KernelCall[] {
  const { ROWS, workgroups } = eachRow(kernels.adapter, rows);
  return rowWindows(kernels.maxBindingBytes, entries, [[dtable, columns]]).map(({ start, count, operands }) =>
    kernelCall(
      'embedding_backward',
      { ...defaultReduceHoles(kernels.adapter), ROWS },
      [ids, order, starts, dy, ...operands],
      [rows, columns, start, count],
      workgroups,
    ),
  );
}

/** The target that counts for nothing. */
export const IGNORED_TARGET = 0xffffffff;

/**
 * Without `gradient`, losses only. With it the logits are overwritten by their gradient times `scale`, or `dlogits` is
 * written where it is of another type; `lossScale` [≥ 1] is a further factor, read on the device.
 */
export function crossEntropy(
  kernels: KernelTable,
  sizes: RowSizes,
  gradient:
    | { readonly scale: number; readonly dlogits?: Operand | undefined; readonly lossScale?: Operand | undefined }
    | undefined,
  { targets, logits, losses }: Record<'targets' | 'logits' | 'losses', Operand>,
): KernelCall[] {
  const { rows, columns } = sizes;
  const { dlogits, lossScale } = gradient ?? {};
  const type = dlogits?.type ?? 'f32';
  const variant = kernels.rows({ kernel: 'cross_entropy', rows, columns, type });
  const vector = vectorOf(variant.vector, columns);
  const operands: RowOperand[] = [
    [targets, 1],
    [logits, columns],
    [losses, 1],
    ...(lossScale ? [[lossScale, 'shared'] as const] : []),
    ...(dlogits ? [[dlogits, columns] as const] : []),
  ];
  const holes = {
    ...vectorHoles(vector),
    GRADIENT: gradient !== undefined,
    SCALED: lossScale !== undefined,
    SEPARATE: dlogits !== undefined,
    DLOGITS_VALUE: valueType(type, vector),
    DLOGITS_BINDING: lossScale ? 4 : 3,
    PARAMS_BINDING: operands.length,
  };
  return call(kernels, 'cross_entropy', sizes, operands, { params: [f32(gradient?.scale ?? 0)], holes, variant });
}

/** total[0] += scale * sum of `count` values. */
export function sum(
  kernels: KernelTable,
  count: number,
  scale: number,
  { values, total }: Record<'values' | 'total', Operand>,
): KernelCall[] {
  return [kernelCall('sum', defaultReduceHoles(kernels.adapter), [values, total], [count, f32(scale)], [1, 1, 1])];
}
