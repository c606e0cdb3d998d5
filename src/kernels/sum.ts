/** The sum of a tensor. */
import { type KernelCall, kernelCall, type Operand } from './call.js';
import { defaultReduceConstants } from './row-variant.js';
import type { VariantTable } from './variants.js';

/** total[0] += scale * sum of `count` values. */
export const sum = (
  variants: VariantTable,
  count: number,
  scale: number,
  operands: Record<'values' | 'total', Operand>,
): KernelCall[] => [
  kernelCall('sum', {
    constants: defaultReduceConstants(variants.adapter),
    operands,
    params: { count, scale },
    workgroups: [1, 1, 1],
  }),
];
