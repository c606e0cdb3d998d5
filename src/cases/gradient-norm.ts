/** The gradient norm: sums of squares by parts, and what a step makes of them. */
import { gradientNorm, gradientNormPartial, gradientNormParts } from '../kernels/gradient-norm.js';
import { DIVISION, gradientNormBounds, squaresBound, U } from '../numerics/bounds.js';
import { FORMATS, type InputClass } from '../numerics/inputs.js';
import { scheduleWords } from '../optim/adamw.js';
import { type Case, drawn, type Expected, Input, kernelCase, sent, updated } from './case.js';

const PART = 16_384;

export function gradientNormPartialCase(given: { readonly count: number; readonly inputClass?: InputClass }): Case {
  const { count, inputClass = 'uniform' } = given;
  const parts = gradientNormParts(count);
  const elements = Math.min(count, PART);
  const most = Math.sqrt(FORMATS.f32.largest / elements) / 2;
  return kernelCase({
    kernel: 'gradient_norm_partial',
    shape: `${count}`,
    inputClass,
    inputs: { gradient: drawn(inputClass, `gradient ${count} ${inputClass}`, count, { most }) },
    // a part before and one after that another tensor's call would write
    outputs: { partial: { type: 'f32', count: parts + 2, isWritten: (i: number) => i > 0 && i <= parts } },
    expected({ gradient }) {
      const sums = new Float64Array(parts + 2);
      gradient.forEach((value, i) => {
        sums[1 + Math.floor(i / elements)]! += value * value;
      });
      return { partial: { reference: sums, bound: sums.map(sum => squaresBound(sum, elements)) } };
    },
    calls: (variants, operands) => gradientNormPartial(variants, count, 1, operands),
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

export interface GradientNormCase {
  readonly parts: number;
  readonly clip: number;
  /** Whether the loss scale of f16 training and its state are operands. */
  readonly isScaled: boolean;
  /** The factor above the mean of earlier norms, 1, that is a spike; none by default. */
  readonly spike?: number;
}

export function gradientNormCase({ parts, clip, isScaled, spike = 0 }: GradientNormCase): Case {
  const lossScale = isScaled ? LOSS_SCALE : 1;
  return kernelCase({
    kernel: 'gradient_norm',
    shape: `${isScaled ? 'with a loss scale, ' : ''}${parts} parts, ${clip ? `clip ${clip}` : 'no clipping'}${
      spike ? `, spikes above ${spike}` : ''
    }`,
    inputClass: 'uniform',
    inputs: {
      partial: drawn('uniform', `partial ${parts}`, parts, { low: 0, high: 4 }),
      loss: new Input('f32', 1, () => Float64Array.of(3.5)),
      schedule: sent(new Float32Array(scheduleWords(SETTINGS, 3, 1e-3).buffer)),
    },
    outputs: {
      health: updated(sent(new Float64Array(8))),
      guard: updated(sent([0, asFloat(UPDATES), MEAN_NORM, 0])),
      ...(isScaled && { scaler: updated(sent([LOSS_SCALE, asFloat(GOOD_STEPS), POWER1, POWER2])) }),
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
      const after = {
        reference: Float64Array.of(LOSS_SCALE, asFloat(GOOD_STEPS + 1), ...powers),
        bound: Float64Array.of(0, 0, ...powers.map(power => 3 * U * power)),
      };
      return { health, guard, scaler: after };
    },
    calls: (variants, operands) =>
      gradientNorm(
        variants,
        parts,
        { clip, mostSkipped: spike ? 1 : 0, spike },
        isScaled ? { growthInterval: 100, ...SETTINGS } : undefined,
        operands,
      ),
    // the bad step's number, or that the step was skipped because of an overflow
    reports: ({ health }) => health![2] !== 0 || health![5] === asFloat(1),
  });
}
