/**
 * The gradient noise scale of McCandlish et al. (2018, arXiv 1812.06162): the batch at which the noise of a gradient is
 * as large as the gradient. `|G|²` is the squared norm of the true gradient, `S` the trace of the covariance of the
 * gradient of one sequence, and B_simple = S / |G|².
 *
 * A gradient over B sequences has a squared norm of |G|² + S / B in the mean. From the norms at two batch sizes follow
 * estimates of both without bias (appendix A.1 there); their quotient is formed of means over draws.
 */
import { mean } from '../mean.js';
import { Random } from '../random.js';

/** The squared norms of gradients over the same sequences: the mean over small batches, and that of all together. */
export interface NormDraw {
  readonly small: number;
  readonly large: number;
}

/** The sequences of a small batch, and of all together. */
export interface BatchSizes {
  readonly small: number;
  readonly large: number;
}

export interface NoiseScale {
  /** The estimate of |G|²; with few draws it may be below 0. */
  readonly gradient: number;
  /** The estimate of S, for batches of one sequence. */
  readonly noise: number;
  /** B_simple in sequences; infinite where |G|² is not above 0. */
  readonly batch: number;
  /** The middle 95% of B_simple over resampled draws. */
  readonly interval: readonly [low: number, high: number];
}

const RESAMPLES = 2000;

/** Estimates the noise scale from draws, of which there are two at least. */
export function noiseScale(draws: readonly NormDraw[], sizes: BatchSizes, seed = 0): NoiseScale {
  const random = new Random(seed, 'resamples of draws');
  const redrawn = () => draws.map(() => draws[random.integer(draws.length)]!);
  const resampled = Float64Array.from({ length: RESAMPLES }, () => batchOf(momentsOf(redrawn(), sizes))).sort();
  const at = (share: number) => resampled[Math.round(share * (RESAMPLES - 1))]!;
  const moments = momentsOf(draws, sizes);
  return { ...moments, batch: batchOf(moments), interval: [at(0.025), at(0.975)] };
}

function momentsOf(draws: readonly NormDraw[], { small, large }: BatchSizes): { gradient: number; noise: number } {
  const [ofSmall, ofLarge] = [mean(draws.map(draw => draw.small)), mean(draws.map(draw => draw.large))];
  return {
    gradient: (large * ofLarge - small * ofSmall) / (large - small),
    noise: (ofSmall - ofLarge) / (1 / small - 1 / large),
  };
}

const batchOf = ({ gradient, noise }: { readonly gradient: number; readonly noise: number }): number =>
  gradient > 0 ? Math.max(0, noise) / gradient : Number.POSITIVE_INFINITY;

/**
 * What a batch costs beside the extremes, where `critical` is the critical batch: with 1 + critical / batch times the
 * fewest steps, and 1 + batch / critical times the fewest tokens, it reaches the same loss.
 */
export const costOf = (batch: number, critical: number): { readonly steps: number; readonly tokens: number } => ({
  steps: 1 + critical / batch,
  tokens: 1 + batch / critical,
});
