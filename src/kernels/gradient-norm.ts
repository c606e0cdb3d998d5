/** The global gradient norm, in two steps: sums of squares of parts, then norm, clip factor and soundness of a step. */
import { checkIndexable, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { ELEMENTS_PER_PART, elementParts } from './parts.js';
import { defaultReduceConstants, defaultRows, gradientConstants, vectorConstants, vectorOf } from './row-variant.js';
import type { VariantTable } from './variants.js';
import { keptIn, rowWindows } from './windows.js';

export const gradientNormParts = elementParts;

/**
 * Sums of squares of one gradient's parts, into partial[first …]; its first `kept` elements are not counted, and with a
 * `schedule` none is while that is at step 0.
 */
export function gradientNormPartial(
  variants: VariantTable,
  count: number,
  first: number,
  {
    gradient,
    partial,
    schedule,
  }: Record<'gradient' | 'partial', Operand> & { readonly schedule?: Operand | undefined },
  kept = 0,
): KernelCall[] {
  checkIndexable('gradient_norm_partial', count);
  const vector = vectorOf(vectorOf(defaultRows(variants.adapter).vector, count), kept);
  const types = {
    ...vectorConstants(vector),
    ...gradientConstants(gradient),
    STAGED: schedule !== undefined,
  };
  const windows = rowWindows(variants.maxBindingBytes, count, { gradient: [gradient, 1] }, ELEMENTS_PER_PART);
  return windows.map(window =>
    kernelCall('gradient_norm_partial', {
      constants: { ...defaultReduceConstants(variants.adapter), ELEMENTS: ELEMENTS_PER_PART / vector, ...types },
      operands: { ...window.operands, partial, schedule },
      params: {
        count: window.count / vector,
        first: first + window.start / ELEMENTS_PER_PART,
        kept: keptIn(window, kept) / vector,
      },
      workgroups: linearGrid(gradientNormParts(window.count)),
      rounds: Math.min(ELEMENTS_PER_PART, window.count) / vector / defaultRows(variants.adapter).workgroup,
    }),
  );
}

/** The bytes from a schedule of what is frozen at first to the next: where any adapter can bind it. */
export const SCHEDULE_STRIDE_BYTES = 256;

/** How the loss scale of f16 training moves (see kernels/gradient_norm.wgsl). */
export interface LossScaling {
  readonly growthInterval: number;
  readonly beta1: number;
  readonly beta2: number;
}

/** What a step is held to. */
export interface StepLimits {
  /** The largest norm; larger gradients are scaled down to it. 0: no clipping. */
  readonly clip: number;
  /** The number of steps in a row that are skipped because they are not finite or spikes, before one is bad. */
  readonly mostSkipped: number;
  /** The factor above the running mean of norms from which on a step is a spike. 0: none is. */
  readonly spike: number;
}

/**
 * Norm, clip factor and soundness of a step, judged with the state in `guard` [4]. `scaler` with `scaling`: dynamic
 * loss scaling; the corrections in `stageSchedules` (as many as `stages`) are then those of the updates that were made.
 */
export function gradientNorm(
  variants: VariantTable,
  parts: number,
  { clip, mostSkipped, spike }: StepLimits,
  scaling: LossScaling | undefined,
  operands: Record<'partial' | 'loss' | 'schedule' | 'health' | 'guard', Operand> & {
    readonly scaler?: Operand | undefined;
    readonly stageSchedules?: Operand | undefined;
  },
  stages = 0,
): KernelCall[] {
  const { partial, loss, schedule, health, guard, scaler, stageSchedules } = operands;
  const staged = scaler && stageSchedules;
  const { growthInterval = 0, beta1 = 0, beta2 = 0 } = scaling ?? {};
  const call = kernelCall('gradient_norm', {
    constants: {
      ...defaultReduceConstants(variants.adapter),
      LOSS_SCALING: scaler !== undefined,
      STAGED: staged !== undefined,
      STAGES: stages,
    },
    operands: { partial, loss, schedule, health, guard, scaler, stage_schedules: staged },
    params: { parts, clip, most_skipped: mostSkipped, spike, growth_interval: growthInterval, beta1, beta2 },
    workgroups: [1, 1, 1],
  });
  return [call];
}
