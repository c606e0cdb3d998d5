/** The update of all parameters: global gradient norm, clipping, AdamW, and the check that the step is sound. */
import type { Graph } from '../autograd/graph.js';
import { partOf, persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import type { Memory } from '../gpu/memory.js';
import { type AdamwSettings, adamw } from '../kernels/adamw.js';
import { adamw8bit } from '../kernels/adamw-8bit.js';
import { gradientNorm, gradientNormPartial, gradientNormParts } from '../kernels/gradient-norm.js';
import type { MomentsOf } from '../kernels/tensor-health.js';

export interface OptimizerSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** The weight decay, which applies to matrices only. */
  readonly weightDecay: number;
  /** The largest global gradient norm; 0 for no clipping. */
  readonly clip: number;
  /** The number of good steps in a row after which f16 training doubles the loss scale (2000 by default). */
  readonly lossScaleInterval?: number | undefined;
  /**
   * The number of steps in a row that are skipped because loss or gradients are not finite, or the gradient norm is a
   * spike; one more is a bad step, after which nothing is updated (0 by default).
   */
  readonly mostSkipped?: number | undefined;
  /**
   * A gradient norm above this factor of its mean over the last 50 updates is a spike, once there were 20; 0 by
   * default: none is.
   */
  readonly spike?: number | undefined;
}

/** The settings of the reference study. */
export const ADAMW_DEFAULTS = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 } as const;

/**
 * The loss scale that f16 training starts with. It leaves room for gradients down to 2^-39, and is halved at the first
 * overflow.
 */
const FIRST_LOSS_SCALE = 2 ** 15;
const LOSS_SCALE_INTERVAL = 2000;

/**
 * The state of dynamic loss scaling: [loss scale, good steps in a row as u32, β1^t, β2^t], where t counts the updates
 * made. [β1^t, β2^t] of parameters that are frozen at first follow, for each end of that.
 */
export function firstScaler(
  { beta1, beta2 }: OptimizerSettings,
  updates: number,
  updatesOfStages: readonly number[],
): Float32Array {
  const powers = [updates, ...updatesOfStages].flatMap(t => [beta1 ** t, beta2 ** t]);
  return Float32Array.of(FIRST_LOSS_SCALE, 0, ...powers);
}

/** Elements of a parameter that are updated at once, from `start` on, with their moments. */
export interface UpdatedPart {
  readonly start: number;
  readonly count: number;
  readonly moments: MomentsOf<Tensor>;
}

/** A parameter (with its gradient) and its two moments. */
export interface OptimizedParameter {
  readonly tensor: Tensor;
  /** The copy of the parameter in f16, where there is one. */
  readonly half?: Tensor | undefined;
  readonly weightDecay: number;
  /** A factor of the learning rate. */
  readonly rate: number;
  /** The number of first elements that are not trained. */
  readonly kept: number;
  /** The parts that it is updated in: one, or those whose moments come from host memory. */
  readonly parts: readonly UpdatedPart[];
  /**
   * A schedule of its own [4], for a parameter that is frozen at first: its step is 0 until the parameter is trained.
   */
  readonly schedule?: Tensor | undefined;
}

/**
 * Returns what changes from step to step: [learning rate, correction 1, correction 2, step as u32]. `updates` are those
 * that the moments have seen, this one included; there are more of them than steps where the moments were taken over
 * from another run.
 */
export function scheduleWords(
  { beta1, beta2 }: OptimizerSettings,
  step: number,
  learningRate: number,
  updates = step,
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(4);
  const floats = new Float32Array(words.buffer);
  floats[0] = learningRate;
  floats[1] = 1 / (1 - beta1 ** updates);
  floats[2] = 1 / (1 - beta2 ** updates);
  words[3] = step;
  return words;
}

/** Why a step made no update, by its number in the kernel, from 1 on. */
export const SKIP_REASONS = ['overflow', 'not finite', 'spike'] as const;
export type SkipReason = (typeof SKIP_REASONS)[number];

/** The report of a step. */
export interface StepHealth {
  readonly loss: number;
  readonly gradientNorm: number;
  /** The step that was one too many to skip, 0 if there is none; no update has been made since. */
  readonly badStep: number;
  /** The factor of the gradients in f16 training, else 1. */
  readonly lossScale: number;
  /**
   * Why no update was made; undefined where one was. `overflow`: of gradients in f16, whose loss scale was halved.
   * `not finite`: loss or gradients. `spike`: the gradient norm was far above its running mean.
   */
  readonly skipped: SkipReason | undefined;
}

/** The bytes of [norm, scale, bad step as u32, loss, loss scale, skipped as u32, correction 1, correction 2]. */
export const STEP_HEALTH_BYTES = 32;

export function readStepHealth(bytes: ArrayBuffer, offsetBytes: number): StepHealth {
  const floats = new Float32Array(bytes, offsetBytes, STEP_HEALTH_BYTES / 4);
  const words = new Uint32Array(bytes, offsetBytes, STEP_HEALTH_BYTES / 4);
  return {
    gradientNorm: floats[0]!,
    badStep: words[2]!,
    loss: floats[3]!,
    lossScale: floats[4]!,
    skipped: SKIP_REASONS[words[5]! - 1],
  };
}

/**
 * Traces the update. The persistent tensors are `loss` [1], `schedule` [4], `health` [8], `guard` [4] and, for f16
 * gradients, `scaler` [4 + 2 `stages`]. What is frozen at first has a schedule for each of the `stages` at which that
 * ends, 256 bytes from one to the next in `stageSchedules`. The norm is that of the gradients that are followed.
 */
export function traceUpdate(
  graph: Graph,
  memory: Memory,
  parameters: readonly OptimizedParameter[],
  settings: OptimizerSettings,
  {
    loss,
    schedule,
    stages,
    stageSchedules,
    health,
    guard,
    scaler,
  }: Record<'loss' | 'schedule' | 'health' | 'guard', Tensor> & {
    stages: number;
    stageSchedules?: Tensor | undefined;
    scaler?: Tensor | undefined;
  },
): { destroy(): void } {
  const counts = parameters.map(({ tensor }) => sizeOf(tensor.shape));
  const parts = counts.reduce((sum, count) => sum + gradientNormParts(count), 0);
  const buffer = memory.createBuffer('gradient norm parts', 4 * parts);
  const partial = persistent('gradient norm parts', [parts], buffer);
  let first = 0;
  parameters.forEach(({ tensor, kept, schedule: own }, i) => {
    const from = first;
    first += gradientNormParts(counts[i]!);
    graph.add({
      op: 'gradient_norm_partial',
      inputs: [tensor.gradient!, ...(own ? [own] : [])],
      outputs: [],
      updates: [partial],
      launch: (variants, bind) =>
        gradientNormPartial(
          variants,
          counts[i]!,
          from,
          { gradient: bind(tensor.gradient!), partial: bind(partial), schedule: own && bind(own) },
          kept,
        ),
    });
  });
  const { beta1, beta2, clip, lossScaleInterval = LOSS_SCALE_INTERVAL, mostSkipped = 0, spike = 0 } = settings;
  const scaling = { growthInterval: lossScaleInterval, beta1, beta2 };
  graph.add({
    op: 'gradient_norm',
    inputs: [partial, loss, schedule],
    outputs: [],
    updates: [health, guard, ...(scaler ? [scaler] : []), ...(scaler && stageSchedules ? [stageSchedules] : [])],
    launch: (variants, bind) =>
      gradientNorm(
        variants,
        parts,
        { clip, mostSkipped, spike },
        scaler && scaling,
        {
          partial: bind(partial),
          loss: bind(loss),
          schedule: bind(schedule),
          health: bind(health),
          guard: bind(guard),
          scaler: scaler && bind(scaler),
          stageSchedules: scaler && stageSchedules && bind(stageSchedules),
        },
        stages,
      ),
  });
  parameters.forEach(({ tensor, half, weightDecay, rate, kept, parts: updated, schedule: own }, i) => {
    const staged = own !== undefined;
    const adamwSettings: AdamwSettings = { beta1, beta2, eps: settings.eps, weightDecay, rate, kept, staged };
    const followed = own ?? schedule;
    for (const { start, count, moments } of updated) {
      const part = { start, whole: counts[i]! };
      const [parameter, gradient] = [partOf(tensor, start, count), partOf(tensor.gradient!, start, count)];
      const copy = half && partOf(half, start, count);
      graph.add({
        op: 'adamw',
        inputs: [gradient, followed, health],
        outputs: [],
        updates: [parameter, ...Object.values(moments), ...(copy ? [copy] : [])],
        launch(variants, bind) {
          const operands = {
            gradient: bind(gradient),
            schedule: bind(followed),
            health: bind(health),
            parameter: bind(parameter),
            half: copy && bind(copy),
          };
          if ('codes' in moments) {
            const coded = { codes: bind(moments.codes), maxima: bind(moments.maxima) };
            return adamw8bit(variants, count, { ...adamwSettings, part }, { ...operands, ...coded }, i);
          }
          const plain = { m: bind(moments.m), v: bind(moments.v) };
          return adamw(variants, count, { ...adamwSettings, part }, { ...operands, ...plain });
        },
      });
    }
  });
  return { destroy: () => buffer.destroy() };
}
