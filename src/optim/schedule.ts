/** Learning-rate schedules, as functions of how far the run is. */
import { UserError } from '../errors.js';

export interface ScheduleSettings {
  readonly schedule: 'cosine' | 'constant' | 'wsd';
  /** The peak. */
  readonly learningRate: number;
  /** Share of the steps in which the rate rises linearly from 0 to the peak. */
  readonly warmup: number;
  /** Where a decay ends, as a share of the peak. */
  readonly minLearningRateRatio: number;
  /** `wsd`: share of the steps, at the end, in which the rate falls linearly. */
  readonly decay: number;
}

/**
 * The learning rate of optimizer step `step` (1 … steps): linear warm-up, then `cosine` to the minimum, `constant`, or
 * `wsd` (warm-up, stable, linear decay to the minimum; Hu et al., 2024). The last step has the minimum.
 */
export function learningRateAt(settings: ScheduleSettings, step: number, steps: number): number {
  const { schedule, learningRate: peak, warmup, minLearningRateRatio: ratio, decay } = settings;
  const warmupSteps = Math.round(warmup * steps);
  if (step <= warmupSteps) return (peak * step) / warmupSteps;
  if (schedule === 'constant') return peak;
  if (schedule === 'cosine') {
    const progress = (step - warmupSteps) / Math.max(1, steps - warmupSteps);
    return peak * (ratio + (1 - ratio) * 0.5 * (1 + Math.cos(Math.PI * progress)));
  }
  const decaySteps = Math.max(1, Math.round(decay * steps));
  const left = steps - step;
  return left >= decaySteps ? peak : peak * (ratio + ((1 - ratio) * left) / decaySteps);
}

/** @throws UserError when the shares do not fit together. */
export function validateSchedule({ schedule, warmup, decay }: ScheduleSettings): void {
  if (schedule === 'wsd' && warmup + decay > 1) {
    throw new UserError(`warmup ${warmup} and decay ${decay} are more than the whole run; their sum must be at most 1`);
  }
}
