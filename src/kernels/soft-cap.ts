/** Soft caps: of scores and of logits. */
import type { KernelCall, Operand } from './call.js';
import { elementwise } from './elementwise.js';
import type { Constants } from './source.js';
import type { VariantTable } from './variants.js';

/** The constants of kernels/lib/soft_cap.wgsl, which a kernel includes where there is a cap. */
export const softCapConstants = (cap: number | undefined): Constants => ({
  IS_CAPPED: cap !== undefined,
  CAP: cap ?? 0,
});

/** x = cap · tanh(x / cap), in place; x has `count` elements. */
export const softCapInPlace = (
  variants: VariantTable,
  count: number,
  { x }: Record<'x', Operand>,
  cap: number,
): KernelCall[] => elementwise(variants, 'soft_cap', count, { x }, softCapConstants(cap));
