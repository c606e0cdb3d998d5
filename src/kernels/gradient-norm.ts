/** The global gradient norm, in two steps: sums of squares of parts, then norm, clip factor and soundness of a step. */
import { checkIndexable, f32, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { defaultReduceHoles } from './row-variant.js';
import { rowWindows } from './split.js';
import type { KernelTable } from './table.js';

const ELEMENTS_PER_PART = 16384;
export const gradientNormParts = (count: number): number => Math.ceil(count / ELEMENTS_PER_PART);

/** Sums of squares of one gradient's parts, into partial[first …]. */
export function gradientNormPartial(
  kernels: KernelTable,
  count: number,
  first: number,
  { gradient, partial }: Record<'gradient' | 'partial', Operand>,
): KernelCall[] {
  checkIndexable('gradient_norm_partial', count);
  const holes = { ...defaultReduceHoles(kernels.adapter), ELEMENTS: ELEMENTS_PER_PART };
  return rowWindows(kernels.maxBindingBytes, count, [[gradient, 1]], ELEMENTS_PER_PART).map(window => {
    const at = first + window.start / ELEMENTS_PER_PART;
    const workgroups = linearGrid(gradientNormParts(window.count));
    return kernelCall('gradient_norm_partial', holes, [...window.operands, partial], [window.count, at], workgroups);
  });
}

/** How the loss scale of f16 training moves (see kernels/gradient_norm.wgsl). */
export interface LossScaling {
  readonly growthInterval: number;
  readonly beta1: number;
  readonly beta2: number;
}

/**
 * Norm, clip factor and soundness of a step. `clip` 0: no clipping. `scaler` with `scaling`: dynamic loss scaling; the
 * corrections in `bodySchedule` are then those of the updates that were made.
 */
export function gradientNorm(
  kernels: KernelTable,
  parts: number,
  clip: number,
  scaling: LossScaling | undefined,
  buffers: Record<'partial' | 'loss' | 'schedule' | 'health', Operand> & {
    readonly scaler?: Operand | undefined;
    readonly bodySchedule?: Operand | undefined;
  },
): KernelCall[] {
  const { partial, loss, schedule, health, scaler, bodySchedule } = buffers;
  const staged = scaler && bodySchedule;
  const holes = {
    ...defaultReduceHoles(kernels.adapter),
    LOSS_SCALING: scaler !== undefined,
    STAGED: staged !== undefined,
  };
  const bound = [partial, loss, schedule, health, ...(scaler ? [scaler] : []), ...(staged ? [staged] : [])];
  const { growthInterval = 0, beta1 = 0, beta2 = 0 } = scaling ?? {};
  const params = [parts, f32(clip), growthInterval, f32(beta1), f32(beta2)];
  return [kernelCall('gradient_norm', holes, bound, params, [1, 1, 1])];
}
