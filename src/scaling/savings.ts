/**
 * What continual pre-training saved: how much less it took to reach the loss that training from scratch ended with. The
 * functions are pure, over held-out loss curves of the target language.
 */

/** A point of a held-out loss curve. */
export interface CurvePoint {
  readonly tokens: number;
  readonly flops: number;
  /** The mean loss, in one unit for all points that are compared: nats per token, or bits per byte. */
  readonly loss: number;
}

export interface Savings {
  /** The loss at which the two are compared. */
  readonly loss: number;
  readonly scratch: { readonly tokens: number; readonly flops: number };
  /** The place at which CPT first reached that loss, or undefined if it never did. */
  readonly cpt: { readonly tokens: number; readonly flops: number } | undefined;
  /** The shares of scratch's tokens and FLOPs that CPT did without; negative when it took more. */
  readonly savedTokens: number | undefined;
  readonly savedFlops: number | undefined;
}

/**
 * Finds where a curve first reaches `loss`, linearly in tokens and FLOPs between the two evaluations around it.
 * @returns undefined when no evaluation is at or below it.
 */
export function firstReaches(
  curve: readonly CurvePoint[],
  loss: number,
): { readonly tokens: number; readonly flops: number } | undefined {
  const i = curve.findIndex(point => point.loss <= loss);
  if (i < 0) return undefined;
  const after = curve[i]!;
  const before = curve[i - 1];
  if (!before) return { tokens: after.tokens, flops: after.flops };
  const part = (before.loss - loss) / (before.loss - after.loss);
  return {
    tokens: before.tokens + part * (after.tokens - before.tokens),
    flops: before.flops + part * (after.flops - before.flops),
  };
}

/** Returns the savings at one loss, which `scratch` must reach. */
export function savingsAt(scratch: readonly CurvePoint[], cpt: readonly CurvePoint[], loss: number): Savings {
  const from = firstReaches(scratch, loss);
  if (!from) throw new Error(`the scratch run never reaches a loss of ${loss}`);
  const to = firstReaches(cpt, loss);
  const saved = (of: 'tokens' | 'flops') => (to && from[of] > 0 ? 1 - to[of] / from[of] : undefined);
  return { loss, scratch: from, cpt: to, savedTokens: saved('tokens'), savedFlops: saved('flops') };
}

/**
 * Returns the savings at the lowest loss that the scratch run reached, the best that it got for its whole budget.
 * @returns undefined when either curve is empty.
 */
export function savingsAtEqualLoss(scratch: readonly CurvePoint[], cpt: readonly CurvePoint[]): Savings | undefined {
  if (scratch.length === 0 || cpt.length === 0) return undefined;
  return savingsAt(scratch, cpt, Math.min(...scratch.map(({ loss }) => loss)));
}
