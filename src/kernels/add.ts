/** Sums of two tensors, element by element. */
import type { KernelCall, Operand } from './call.js';
import { elementwise } from './elementwise.js';
import type { VariantTable } from './variants.js';

/** y = a + b. */
export function add(variants: VariantTable, count: number, operands: Record<'a' | 'b' | 'y', Operand>): KernelCall[] {
  const { a, b, y } = operands;
  return elementwise(variants, 'add', count, operands, {
    ADDEND: true,
    A_TYPE: a.type,
    B_TYPE: b.type,
    Y_TYPE: y.type,
  });
}

/** y += a. */
export function accumulate(variants: VariantTable, count: number, operands: Record<'a' | 'y', Operand>): KernelCall[] {
  const { a, y } = operands;
  return elementwise(variants, 'add', count, operands, { ADDEND: false, A_TYPE: a.type, Y_TYPE: y.type });
}
