/** Error bounds of what an update is made of, on the terms of `bounds.ts`: squares, their norm, and AdamW. */
import { DIVISION, gamma, SQRT, TINY, U } from './bounds.js';
import type { Vector } from './reference.js';

/** Σx² of n values. */
export const squaresBound = (sum: number, n: number): number => gamma(n + 1) * sum + 2 * n * TINY;

/** sqrt(Σ partial)/lossScale and min(1, clip/norm)/lossScale. */
export function gradientNormBounds(parts: number, norm: number, scale: number): { norm: number; scale: number } {
  const normError = gamma(parts) / 2 + SQRT + DIVISION;
  return { norm: norm * normError + TINY, scale: scale * (normError + 2 * DIVISION) + TINY };
}

/**
 * AdamW on f32 state; β, 1 − β, corrections, eps and decay are each rounded once on the host. `widenings`: the
 * roundings that the moments before were made with, where they are not stored in f32.
 */
export function adamwBounds(
  before: Readonly<Record<'parameter' | 'm' | 'v', Vector>>,
  gradient: Vector,
  settings: Readonly<
    Record<'lr' | 'beta1' | 'beta2' | 'eps' | 'weightDecay' | 'clipFactor' | 'correction1' | 'correction2', number>
  >,
  widenings = 0,
): { parameter: Vector; m: Vector; v: Vector } {
  const { lr, beta1, beta2, eps, weightDecay, clipFactor, correction1, correction2 } = settings;
  const zeros = () => new Float64Array(gradient.length);
  const bounds = { parameter: zeros(), m: zeros(), v: zeros() };
  for (let i = 0; i < gradient.length; i++) {
    const g = Math.abs(gradient[i]! * clipFactor);
    const mean = [beta1 * Math.abs(before.m[i]!), (1 - beta1) * g] as const;
    const variance = beta2 * before.v[i]! + (1 - beta2) * g * g;
    bounds.m[i] = gamma(4 + widenings) * (mean[0] + mean[1]) + (6 + widenings) * TINY;
    bounds.v[i] = gamma(6 + widenings) * variance + TINY * (5 + widenings + 3 * g);
    const signed = beta1 * before.m[i]! + (1 - beta1) * gradient[i]! * clipFactor;
    const lost = Math.sqrt(correction2 * TINY * (6 + widenings + 3 * g)); // of the root, where the variance was flushed
    const denominator = Math.sqrt(variance * correction2) + eps;
    const denominatorError = gamma(8 + widenings) / 2 + SQRT + 2 * U + lost / denominator;
    const update = (Math.abs(signed) * correction1) / denominator;
    const updateError =
      (bounds.m[i]! * correction1) / denominator + update * (2 * U + DIVISION + denominatorError) + 2 * TINY;
    const kept = Math.abs(before.parameter[i]!);
    bounds.parameter[i] =
      kept * gamma(3) * (1 + 2 * lr * weightDecay) + lr * (updateError + gamma(2) * update) + 4 * TINY;
  }
  return bounds;
}
