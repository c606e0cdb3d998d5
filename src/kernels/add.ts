/** Sums of two tensors, element by element. */
import type { KernelCall, Operand } from './call.js';
import { elementwise } from './elementwise.js';
import type { VariantTable } from './variants.js';

/** y = a + b. */
export function add(variants: VariantTable, count: number, operands: Record<'a' | 'b' | 'y', Operand>): KernelCall[] {
  return elementwise(variants, 'add', count, operands, { ADDEND: true });
}

/** y += a. */
export function accumulate(variants: VariantTable, count: number, operands: Record<'a' | 'y', Operand>): KernelCall[] {
  return elementwise(variants, 'add', count, operands, { ADDEND: false });
}
