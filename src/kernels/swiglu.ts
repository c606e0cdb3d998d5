/** SwiGLU of the two halves of rows, or the same with GELU (GeGLU), and its gradient. */
import type { KernelCall, Operand } from './call.js';
import type { ElementType } from './element-type.js';
import { defaultRows, type RowSizes, valueType, vectorOf } from './row-variant.js';
import { rowwise } from './rowwise.js';
import type { VariantTable } from './variants.js';

/** What a gate passes, by Hugging Face's names: x·sigmoid(x), or GELU by its approximation with tanh. */
export type Activation = 'silu' | 'gelu_pytorch_tanh';
export const ACTIVATIONS = ['silu', 'gelu_pytorch_tanh'] as const satisfies readonly Activation[];

/** The constants of kernels/lib/swiglu.wgsl. */
export const activationConstants = (activation: Activation = 'silu') => ({ GELU: activation === 'gelu_pytorch_tanh' });

export interface SwigluSizes extends RowSizes {
  /** Default: silu. */
  readonly activation?: Activation | undefined;
}

/** y[r] = silu(x[r, first half]) * x[r, second half];  x [rows, 2 columns], y [rows, columns]. */
export function swigluForward(
  variants: VariantTable,
  sizes: SwigluSizes,
  { x, y }: Record<'x' | 'y', Operand>,
): KernelCall[] {
  const { columns, activation } = sizes;
  return rowwise(variants, 'swiglu_forward', sizes, {
    byRow: { x: [x, 2 * columns], y: [y, columns] },
    ...byVectors(variants, columns, x.type, activation),
  });
}

/** What makes the kernels take vectors, where a row is whole ones. */
function byVectors(variants: VariantTable, columns: number, type: ElementType, activation?: Activation) {
  const vector = vectorOf(defaultRows(variants.adapter).vector, columns);
  const types = { TYPE: valueType(type, vector), VALUE: valueType('f32', vector) };
  const constants = { ...types, ...activationConstants(activation) };
  return { constants, params: { columns: columns / vector } };
}

export function swigluBackward(
  variants: VariantTable,
  sizes: SwigluSizes,
  { x, dy, dx }: Record<'x' | 'dy' | 'dx', Operand>,
): KernelCall[] {
  const { columns, activation } = sizes;
  return rowwise(variants, 'swiglu_backward', sizes, {
    byRow: { x: [x, 2 * columns], dy: [dy, columns], dx: [dx, 2 * columns] },
    ...byVectors(variants, columns, x.type, activation),
  });
}
