/** Learning-rate schedules, as functions of how far the run is. */
import { UserError } from '../errors.js';

export const SCHEDULES = ['cosine', 'constant', 'wsd', 'infinite', 'anneal'] as const;
export const COOLDOWN_SHAPES = ['cosine', 'inverse-sqrt'] as const;
export const ANNEAL_SHAPES = ['exponential', 'linear'] as const;

export interface ScheduleSettings {
  readonly schedule: (typeof SCHEDULES)[number];
  /** The peak rate; for `anneal`, the rate that the run comes from. */
  readonly learningRate: number;
  /** The share of the steps in which the rate rises linearly from 0 to the peak. `anneal` has none. */
  readonly warmup: number;
  /** The rate at which a decay ends, as a share of the peak. */
  readonly minLearningRateRatio: number;
  /** `wsd`, `infinite`: the share of the steps, at the end, in which the rate falls to the minimum. */
  readonly decay: number;
  /** `infinite`: the share of the steps, after the warm-up, in which the rate falls from the peak to the constant. */
  readonly cooldown: number;
  /** `infinite`: the constant rate, as a share of the peak. */
  readonly constantLearningRateRatio: number;
  /** `infinite`: the shape of the cool-down. */
  readonly cooldownShape: (typeof COOLDOWN_SHAPES)[number];
  /** `infinite`, `anneal`: the shape of the fall to the minimum. */
  readonly annealShape: (typeof ANNEAL_SHAPES)[number];
}

/**
 * Returns the learning rate of optimizer step `step` (1 … steps). After a linear warm-up the schedules are:
 * - `cosine` falls to the minimum, and `constant` stays.
 * - `wsd` is stable, then falls linearly to the minimum (Hu et al., 2024).
 * - `infinite` cools down to a constant, with which training can go on for as long as one likes, and anneals to the
 *   minimum at the end (Ibrahim et al., 2024, arXiv 2403.08763, section 7).
 * - `anneal` is that last phase alone, for a run that branches off; it has no warm-up.
 *
 * A schedule that ends at the minimum has it in its last step.
 */
export function learningRateAt(settings: ScheduleSettings, step: number, steps: number): number {
  const { schedule, learningRate: peak, warmup, minLearningRateRatio: ratio, decay } = settings;
  if (schedule === 'anneal') return anneal(peak, ratio * peak, step / steps, settings);
  const warmupSteps = Math.round(warmup * steps);
  if (step <= warmupSteps) return (peak * step) / warmupSteps;
  if (schedule === 'constant') return peak;
  if (schedule === 'cosine') {
    const progress = (step - warmupSteps) / Math.max(1, steps - warmupSteps);
    return peak * (ratio + (1 - ratio) * 0.5 * (1 + Math.cos(Math.PI * progress)));
  }
  const left = steps - step;
  if (schedule === 'wsd') {
    const decaySteps = Math.max(1, Math.round(decay * steps));
    return left >= decaySteps ? peak : peak * (ratio + ((1 - ratio) * left) / decaySteps);
  }
  const constant = settings.constantLearningRateRatio * peak;
  const decaySteps = Math.round(decay * steps);
  if (left < decaySteps) return anneal(constant, ratio * peak, 1 - left / decaySteps, settings);
  const cooldownSteps = Math.round(settings.cooldown * steps);
  const since = step - warmupSteps;
  if (since >= cooldownSteps) return constant;
  return constant + (peak - constant) * cooldownShare(since / cooldownSteps, settings);
}

/** How fast the inverse square root falls: halfway through the cool-down 85% of the way is behind it. */
const INVERSE_SQRT_RATE = 10;

/** Returns what is left of a cool-down at `progress`, from 1 at 0 to 0 at 1. */
function cooldownShare(progress: number, { cooldownShape }: ScheduleSettings): number {
  if (cooldownShape === 'cosine') return 0.5 * (1 + Math.cos(Math.PI * progress));
  const fallen = (x: number) => 1 - 1 / Math.sqrt(1 + INVERSE_SQRT_RATE * x);
  return 1 - fallen(progress) / fallen(1);
}

/** Returns the rate between two rates, by equal factors or by equal differences. */
function anneal(from: number, to: number, progress: number, { annealShape }: ScheduleSettings): number {
  return annealShape === 'linear' ? from + (to - from) * progress : from * (to / from) ** progress;
}

/** Checks a schedule. @throws UserError when the shares, or the rates, do not fit together. */
export function validateSchedule(settings: ScheduleSettings): void {
  const { schedule, warmup, decay, cooldown, minLearningRateRatio, constantLearningRateRatio, annealShape } = settings;
  if (schedule === 'wsd' && warmup + decay > 1) {
    throw new UserError(`warmup ${warmup} and decay ${decay} are more than the whole run; their sum must be at most 1`);
  }
  if (schedule === 'infinite' && warmup + cooldown + decay > 1) {
    throw new UserError(
      `warmup ${warmup}, cooldown ${cooldown} and decay ${decay} are more than the whole run; ` +
        'their sum must be at most 1',
    );
  }
  if (schedule === 'infinite' && minLearningRateRatio > constantLearningRateRatio) {
    throw new UserError(
      `minLearningRateRatio ${minLearningRateRatio} is above constantLearningRateRatio ` +
        `${constantLearningRateRatio}; the rate anneals from the constant down to the minimum`,
    );
  }
  const anneals = schedule === 'anneal' || (schedule === 'infinite' && decay > 0);
  if (anneals && annealShape === 'exponential' && minLearningRateRatio === 0) {
    throw new UserError(
      'an exponential anneal never reaches 0: give a minLearningRateRatio above 0, or annealShape: linear',
    );
  }
}
