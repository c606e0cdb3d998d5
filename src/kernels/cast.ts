/** Tensors in another type. */
import type { KernelCall, Operand } from './call.js';
import { elementwise } from './elementwise.js';
import type { VariantTable } from './variants.js';

/** y = x in y's type, f32 or f16. */
export function cast(variants: VariantTable, count: number, operands: Record<'x' | 'y', Operand>): KernelCall[] {
  return elementwise(variants, 'cast', count, operands, { X_BFLOAT: operands.x.type === 'bf16' });
}
