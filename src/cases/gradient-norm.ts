/** The gradient norm: sums of squares by parts, and what a step makes of them. */
import {
  gradientNorm,
  gradientNormPartial,
  gradientNormParts,
  SCHEDULE_STRIDE_BYTES,
} from '../kernels/gradient-norm.js';
import { DIVISION, U } from '../numerics/bounds.js';
import { FORMATS, type InputClass, type StoredType } from '../numerics/inputs.js';
import { gradientNormBounds, squaresBound } from '../numerics/update-bounds.js';
import { scheduleWords } from '../optim/adamw.js';
import { type Case, drawn, type Expected, Input, kernelCase, sent, updated } from './case.js';

const PART = 16_384;

export interface GradientNormPartialCase {
  readonly count: number;
  readonly type?: StoredType;
  readonly inputClass?: InputClass;
  /** The number of first elements that are not counted. */
  readonly kept?: number;
  /** The step of a schedule of its own, at 0 of which nothing is counted; by default it has none. */
  readonly step?: number;
}

export function gradientNormPartialCase(given: GradientNormPartialCase): Case {
  const { count, type = 'f32', inputClass = 'uniform', kept = 0, step } = given;
  const parts = gradientNormParts(count);
  const elements = Math.min(count, PART);
  const most = Math.min(Math.sqrt(FORMATS.f32.largest / elements), FORMATS[type].largest) / 2;
  return kernelCase({
    kernel: 'gradient_norm_partial',
    shape: [
      ...(type === 'f32' ? [] : [type]),
      count,
      ...(kept ? [`${kept} kept`] : []),
      ...(step === undefined ? [] : [`at its step ${step}`]),
    ].join(', '),
    inputClass,
    inputs: {
      gradient: drawn(inputClass, `gradient ${count} ${inputClass}`, count, { type, most }),
      ...(step !== undefined && { schedule: sent(new Float32Array(scheduleWords(SETTINGS, step, 1e-3, 1).buffer)) }),
    },
    // a part before and one after that another tensor's call would write
    outputs: { partial: { type: 'f32', count: parts + 2, isWritten: (i: number) => i > 0 && i <= parts } },
    expected({ gradient }) {
      const sums = new Float64Array(parts + 2);
      gradient.forEach((value, i) => {
        if (i >= kept && step !== 0) sums[1 + Math.floor(i / elements)]! += value * value;
      });
      return { partial: { reference: sums, bound: sums.map(sum => squaresBound(sum, elements)) } };
    },
    calls: (variants, operands) => gradientNormPartial(variants, count, 1, operands, kept),
  });
}

const SETTINGS = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
const LOSS_SCALE = 1024;
/** The updates before, and the mean of their norms: what a spike is measured by. */
const [UPDATES, MEAN_NORM] = [30, 1];
const [GOOD_STEPS, POWER1, POWER2] = [5, SETTINGS.beta1 ** 5, SETTINGS.beta2 ** 5].map(Math.fround) as [
  number,
  number,
  number,
];
/** A small whole number as the f32 of the same bits. */
const asFloat = (word: number): number => word * FORMATS.f32.least;

const STRIDE = SCHEDULE_STRIDE_BYTES / 4;
/** The schedules of what is frozen at first, with corrections that are to be overwritten. */
function stageSchedules(steps: readonly number[]): Float64Array {
  const words = new Float64Array(STRIDE * steps.length);
  steps.forEach((step, stage) => void words.set([0, 7, 7, asFloat(step)], STRIDE * stage));
  return words;
}

export interface GradientNormCase {
  readonly parts: number;
  readonly clip: number;
  /** Whether the loss scale of f16 training and its state are operands. */
  readonly isScaled: boolean;
  /** The factor above the mean of earlier norms, 1, that is a spike; none by default. */
  readonly spike?: number;
  /** The steps of schedules of what is frozen at first, each 0 before it is trained; none by default. */
  readonly stageSteps?: readonly number[];
}

export function gradientNormCase({ parts, clip, isScaled, spike = 0, stageSteps = [] }: GradientNormCase): Case {
  const lossScale = isScaled ? LOSS_SCALE : 1;
  return kernelCase({
    kernel: 'gradient_norm',
    shape: `${isScaled ? 'with a loss scale, ' : ''}${parts} parts, ${clip ? `clip ${clip}` : 'no clipping'}${
      spike ? `, spikes above ${spike}` : ''
    }${stageSteps.length > 0 ? `, frozen at first, at steps ${stageSteps.join(', ')}` : ''}`,
    inputClass: 'uniform',
    inputs: {
      partial: drawn('uniform', `partial ${parts}`, parts, { low: 0, high: 4 }),
      loss: new Input('f32', 1, () => Float64Array.of(3.5)),
      schedule: sent(new Float32Array(scheduleWords(SETTINGS, 3, 1e-3).buffer)),
    },
    outputs: {
      health: updated(sent(new Float64Array(8))),
      guard: updated(sent([0, asFloat(UPDATES), MEAN_NORM, 0])),
      ...(isScaled && {
        scaler: updated(
          sent([LOSS_SCALE, asFloat(GOOD_STEPS), POWER1, POWER2, ...stageSteps.flatMap(() => [POWER1, POWER2])]),
        ),
      }),
      ...(stageSteps.length > 0 && { stageSchedules: updated(sent(stageSchedules(stageSteps))) }),
    },
    expected({ partial, loss, schedule }): Record<string, Expected> {
      const total = Math.sqrt(partial.reduce((a, b) => a + b, 0)) / lossScale;
      const isSpike = spike > 0 && total > spike * MEAN_NORM;
      const factor = (clip > 0 ? Math.min(1, clip / total) : 1) / lossScale;
      const bounds = gradientNormBounds(parts, total, factor);
      const powers = isSpike ? [POWER1, POWER2] : [POWER1 * SETTINGS.beta1, POWER2 * SETTINGS.beta2];
      const corrections = isScaled ? powers.map(power => 1 / (1 - power)) : [schedule[1]!, schedule[2]!];
      // a power is off by a product and the rounding of β; 1 − power and the division follow
      const correctionBounds = corrections.map((value, i) =>
        isScaled ? value * (value * (3 * U * powers[i]! + U) + DIVISION) : 0,
      );
      // norm, clip factor, bad step, loss, loss scale, skipped, corrections
      const health = {
        reference: Float64Array.of(total, factor, 0, loss[0]!, lossScale, asFloat(isSpike ? 3 : 0), ...corrections),
        bound: Float64Array.of(bounds.norm, bounds.scale, 0, 0, 0, 0, ...correctionBounds),
      };
      const mean = MEAN_NORM + (total - MEAN_NORM) / (UPDATES + 1);
      const guard = {
        reference: isSpike
          ? Float64Array.of(asFloat(1), asFloat(UPDATES), MEAN_NORM, 0)
          : Float64Array.of(0, asFloat(UPDATES + 1), mean, 0),
        // the norm's own error, and three operations on numbers no larger than the two norms
        bound: Float64Array.of(0, 0, isSpike ? 0 : bounds.norm + (2 * U + DIVISION) * (total + 2 * MEAN_NORM), 0),
      };
      if (!isScaled) return { health, guard };
      const isTrained = (stage: number) => stageSteps[stage]! > 0;
      const ofStages = stageSteps.map((_, stage) => (isTrained(stage) ? powers : [POWER1, POWER2]));
      const all = [powers, ...ofStages].flat();
      const after = {
        reference: Float64Array.of(LOSS_SCALE, asFloat(GOOD_STEPS + 1), ...all),
        bound: Float64Array.of(0, 0, ...all.map(power => 3 * U * power)),
      };
      if (stageSteps.length === 0) return { health, guard, scaler: after };
      const words = stageSchedules(stageSteps);
      const schedules = { reference: words, bound: words.map(() => 0) };
      stageSteps.forEach((_, stage) => {
        if (!isTrained(stage)) return;
        schedules.reference.set(corrections, STRIDE * stage + 1);
        schedules.bound.set(correctionBounds, STRIDE * stage + 1);
      });
      return { health, guard, scaler: after, stageSchedules: schedules };
    },
    calls: (variants, operands) =>
      gradientNorm(
        variants,
        parts,
        { clip, mostSkipped: spike ? 1 : 0, spike },
        isScaled ? { growthInterval: 100, ...SETTINGS } : undefined,
        operands,
        stageSteps.length,
      ),
    // the bad step's number, or that the step was skipped because of an overflow
    reports: ({ health }) => health![2] !== 0 || health![5] === asFloat(1),
  });
}
