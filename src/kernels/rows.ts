/** Kernels in which a workgroup takes a row, or reduces a whole tensor. */
import type { BufferRange } from '../gpu/buffer.js';
import {
  checkIndexable,
  ELEMENTWISE_WORKGROUP,
  f32,
  grid,
  type KernelCall,
  kernelCall,
  linearGrid,
  type Param,
  type RowVariant,
} from './call.js';
import type { Holes } from './source.js';

/** A tensor of `rows` rows of `columns` each. */
export interface RowSizes {
  readonly rows: number;
  readonly columns: number;
}

function call(
  name: string,
  variant: RowVariant,
  { rows, columns }: RowSizes,
  buffers: readonly BufferRange[],
  params: readonly Param[] = [],
  holes: Holes = {},
): KernelCall {
  checkIndexable(name, rows * columns);
  return kernelCall(name, { ...variant, ...holes }, buffers, [rows, columns, ...params], linearGrid(rows));
}

export function rmsnormForward(
  variant: RowVariant,
  sizes: RowSizes & { readonly eps: number },
  buffers: Record<'x' | 'weight' | 'y' | 'rstd', BufferRange>,
): KernelCall {
  const { x, weight, y, rstd } = buffers;
  return call('rmsnorm_forward', variant, sizes, [x, weight, y, rstd], [f32(sizes.eps)]);
}

export function rmsnormBackwardInput(
  variant: RowVariant,
  sizes: RowSizes,
  buffers: Record<'x' | 'weight' | 'rstd' | 'dy' | 'dx', BufferRange> & { readonly addend?: BufferRange | undefined },
): KernelCall {
  const { x, weight, rstd, dy, addend, dx } = buffers;
  const bound = addend ? [x, weight, rstd, dy, addend, dx] : [x, weight, rstd, dy, dx];
  return call('rmsnorm_backward_input', variant, sizes, bound, [], { ADDEND: addend !== undefined });
}

/** Rows of one part of RMSNorm's weight gradient. */
const ROWS_PER_PART = 64;
export const rmsnormParts = (rows: number): number => Math.ceil(rows / ROWS_PER_PART);

/** Sums over parts of the rows: `partial` [rmsnormParts(rows), columns]. */
export function rmsnormBackwardWeight(
  { rows, columns }: RowSizes,
  buffers: Record<'x' | 'rstd' | 'dy' | 'partial', BufferRange>,
): KernelCall {
  const { x, rstd, dy, partial } = buffers;
  const name = 'rmsnorm_backward_weight';
  const holes = { WORKGROUP: ELEMENTWISE_WORKGROUP, ROWS: ROWS_PER_PART };
  const workgroups = grid(name, Math.ceil(columns / ELEMENTWISE_WORKGROUP), rmsnormParts(rows));
  return kernelCall(name, holes, [x, rstd, dy, partial], [rows, columns], workgroups);
}

/** x [B, T, heads, headSize] in place. `inverse` gives the gradient. */
export function rope(
  sizes: { readonly B: number; readonly T: number; readonly heads: number; readonly headSize: number },
  inverse: boolean,
  buffers: Record<'table' | 'x', BufferRange>,
): KernelCall {
  const { B, T, heads, headSize } = sizes;
  checkIndexable('rope', B * T * heads * headSize);
  const holes = { WORKGROUP: 32, HEAD_SIZE: headSize, INVERSE: inverse };
  return kernelCall('rope', holes, [buffers.table, buffers.x], [B * T, T, heads], linearGrid(B * T));
}

export function embeddingForward(
  variant: RowVariant,
  sizes: RowSizes,
  buffers: Record<'ids' | 'table' | 'y', BufferRange>,
): KernelCall {
  return call('embedding_forward', variant, sizes, [buffers.ids, buffers.table, buffers.y]);
}

/** `order` and `starts` group the rows by id: see groupRowsById. */
export function embeddingBackward(
  variant: RowVariant,
  sizes: RowSizes,
  buffers: Record<'ids' | 'order' | 'starts' | 'dy' | 'dtable', BufferRange>,
): KernelCall {
  const { ids, order, starts, dy, dtable } = buffers;
  return call('embedding_backward', variant, sizes, [ids, order, starts, dy, dtable]);
}

/** The target that counts for nothing. */
export const IGNORED_TARGET = 0xffffffff;

/** With `gradientScale` the logits are overwritten by their gradient times it. */
export function crossEntropy(
  variant: RowVariant,
  sizes: RowSizes,
  gradientScale: number | undefined,
  buffers: Record<'targets' | 'logits' | 'losses', BufferRange>,
): KernelCall {
  const { targets, logits, losses } = buffers;
  const holes = { GRADIENT: gradientScale !== undefined };
  return call('cross_entropy', variant, sizes, [targets, logits, losses], [f32(gradientScale ?? 0)], holes);
}

/** total[0] += scale * sum of `count` values. */
export function sum(
  variant: RowVariant,
  count: number,
  scale: number,
  buffers: Record<'values' | 'total', BufferRange>,
): KernelCall {
  return kernelCall('sum', { ...variant }, [buffers.values, buffers.total], [count, f32(scale)], [1, 1, 1]);
}

const ELEMENTS_PER_PART = 16384;
export const gradientNormParts = (count: number): number => Math.ceil(count / ELEMENTS_PER_PART);

/** Sums of squares of one gradient's parts, into partial[first …]. */
export function gradientNormPartial(
  variant: RowVariant,
  count: number,
  first: number,
  buffers: Record<'gradient' | 'partial', BufferRange>,
): KernelCall {
  checkIndexable('gradient_norm_partial', count);
  const holes = { ...variant, ELEMENTS: ELEMENTS_PER_PART };
  const workgroups = linearGrid(gradientNormParts(count));
  return kernelCall('gradient_norm_partial', holes, [buffers.gradient, buffers.partial], [count, first], workgroups);
}

/** Norm, clip factor and soundness of a step. `clip` 0: no clipping. */
export function gradientNorm(
  variant: RowVariant,
  parts: number,
  clip: number,
  buffers: Record<'partial' | 'loss' | 'schedule' | 'health', BufferRange>,
): KernelCall {
  const { partial, loss, schedule, health } = buffers;
  return kernelCall('gradient_norm', { ...variant }, [partial, loss, schedule, health], [parts, f32(clip)], [1, 1, 1]);
}
