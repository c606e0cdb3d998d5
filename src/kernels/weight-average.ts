/** The running average of weights, and its exchange with them. */
import type { KernelCall, Operand } from './call.js';
import { elementwise } from './elementwise.js';
import type { VariantTable } from './variants.js';

/** average += complement · (weight − average), unless the step made no update. `rate` holds the complement [1]. */
export function weightAverage(
  variants: VariantTable,
  count: number,
  { rate, health, weight, average }: Record<'rate' | 'health' | 'weight' | 'average', Operand>,
): KernelCall[] {
  return elementwise(variants, 'weight_average', count, { weight, average }, {}, { rate, health });
}

/** Lets a and b change places. */
export function swap(variants: VariantTable, count: number, operands: Record<'a' | 'b', Operand>): KernelCall[] {
  return elementwise(variants, 'weight_average_swap', count, operands, {});
}
