/** Tensors in another type. */
import type { KernelCall, Operand } from './call.js';
import { elementwise } from './elementwise.js';
import type { VariantTable } from './variants.js';

/** y = x in y's type, f32 or f16; with a `scale`, times it. */
export function cast(
  variants: VariantTable,
  count: number,
  operands: Record<'x' | 'y', Operand>,
  scale?: number,
): KernelCall[] {
  const constants = { X_BFLOAT: operands.x.type === 'bf16', SCALED: scale !== undefined };
  return elementwise(variants, 'cast', count, operands, constants, {}, scale === undefined ? {} : { scale });
}
