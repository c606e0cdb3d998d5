/** Softmax cross-entropy of rows of logits, with its gradient. */
import type { KernelCall, Operand } from './call.js';
import { type RowSizes, valueType, vectorConstants, vectorOf } from './row-variant.js';
import { rowwise } from './rowwise.js';
import { softCapConstants } from './soft-cap.js';
import type { VariantTable } from './variants.js';

/** The target that counts for nothing. */
export const IGNORED_TARGET = 0xffffffff;

export interface CrossEntropyGradient {
  readonly scale: number;
  readonly dlogits?: Operand | undefined;
  readonly lossScale?: Operand | undefined;
  readonly softCap?: number | undefined;
}

/**
 * The losses alone where there is no `gradient`. With it the logits are overwritten by their gradient times `scale`, or
 * `dlogits` is written where it is of another type; `lossScale` [≥ 1] is a further factor, read on the device. `hits`,
 * which is for losses alone, tells of each row whether its target has the largest logit: 1 or 0. `weights` are factors
 * of the rows, of their losses and of their gradients. Logits that a `softCap` has capped get the gradient of what they
 * were before.
 */
export function crossEntropy(
  variants: VariantTable,
  sizes: RowSizes,
  gradient: CrossEntropyGradient | undefined,
  {
    targets,
    logits,
    losses,
    weights,
    hits,
  }: Record<'targets' | 'logits' | 'losses', Operand> & {
    readonly weights?: Operand | undefined;
    readonly hits?: Operand | undefined;
  },
): KernelCall[] {
  const { rows, columns } = sizes;
  const { scale = 0, dlogits, lossScale, softCap } = gradient ?? {};
  const type = dlogits?.type ?? 'f32';
  const variant = variants.of('rows', { kernel: 'cross_entropy', rows, columns, type });
  const vector = vectorOf(variant.vector, columns);
  return rowwise(variants, 'cross_entropy', sizes, {
    byRow: {
      targets: [targets, 1],
      logits: [logits, columns],
      losses: [losses, 1],
      weights: weights && [weights, 1],
      dlogits: dlogits && [dlogits, columns],
      hits: hits && [hits, 1],
    },
    shared: { loss_scale: lossScale },
    params: { scale },
    constants: {
      ...vectorConstants(vector),
      GRADIENT: gradient !== undefined,
      HITS: hits !== undefined,
      WEIGHTED: weights !== undefined,
      SCALED: lossScale !== undefined,
      SEPARATE: dlogits !== undefined,
      ...softCapConstants(softCap),
      DLOGITS_VALUE: valueType(type, vector),
    },
    variant,
  });
}
