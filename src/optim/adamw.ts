/** The update of all parameters: global gradient norm, clipping, AdamW, and the check that the step is sound. */
import type { Graph } from '../autograd/graph.js';
import { persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import type { Memory } from '../gpu/memory.js';
import { rowVariant } from '../kernels/call.js';
import { type AdamwSettings, adamw } from '../kernels/elementwise.js';
import { gradientNorm, gradientNormPartial, gradientNormParts } from '../kernels/rows.js';

export interface OptimizerSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  /** On matrices only. */
  readonly weightDecay: number;
  /** Largest global gradient norm; 0 for no clipping. */
  readonly clip: number;
}

/** A parameter (with its gradient) and its two moments. */
export interface OptimizedParameter {
  readonly tensor: Tensor;
  readonly decay: boolean;
  readonly m: Tensor;
  readonly v: Tensor;
}

/** What changes from step to step: [learning rate, correction 1, correction 2, step as u32]. */
export function scheduleWords(
  { beta1, beta2 }: OptimizerSettings,
  step: number,
  learningRate: number,
): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(4);
  const floats = new Float32Array(words.buffer);
  floats[0] = learningRate;
  floats[1] = 1 / (1 - beta1 ** step);
  floats[2] = 1 / (1 - beta2 ** step);
  words[3] = step;
  return words;
}

/** What a step reports. */
export interface StepHealth {
  readonly loss: number;
  readonly gradientNorm: number;
  /** The first step whose loss or gradients were not finite, 0 if none; no update has been made since. */
  readonly badStep: number;
}

export const HEALTH_BYTES = 16;

export function readHealth(bytes: ArrayBuffer, offsetBytes: number): StepHealth {
  const floats = new Float32Array(bytes, offsetBytes, 4);
  const words = new Uint32Array(bytes, offsetBytes, 4);
  return { gradientNorm: floats[0]!, badStep: words[2]!, loss: floats[3]! };
}

/** Traces the update. `loss` [1], `schedule` [4], `health` [4] are persistent. */
export function traceUpdate(
  graph: Graph,
  memory: Memory,
  parameters: readonly OptimizedParameter[],
  settings: OptimizerSettings,
  { loss, schedule, health }: Record<'loss' | 'schedule' | 'health', Tensor>,
): { destroy(): void } {
  const counts = parameters.map(({ tensor }) => sizeOf(tensor.shape));
  const parts = counts.reduce((sum, count) => sum + gradientNormParts(count), 0);
  const buffer = memory.createBuffer('gradient norm parts', 4 * parts);
  const partial = persistent('gradient norm parts', [parts], buffer);
  let first = 0;
  parameters.forEach(({ tensor }, i) => {
    const from = first;
    first += gradientNormParts(counts[i]!);
    graph.add({
      op: 'gradient_norm_partial',
      inputs: [tensor.gradient!],
      outputs: [],
      updates: [partial],
      launch: (adapter, bind) => [
        gradientNormPartial(rowVariant(adapter), counts[i]!, from, {
          gradient: bind(tensor.gradient!),
          partial: bind(partial),
        }),
      ],
    });
  });
  graph.add({
    op: 'gradient_norm',
    inputs: [partial, loss, schedule],
    outputs: [],
    updates: [health],
    launch: (adapter, bind) => [
      gradientNorm(rowVariant(adapter), parts, settings.clip, {
        partial: bind(partial),
        loss: bind(loss),
        schedule: bind(schedule),
        health: bind(health),
      }),
    ],
  });
  parameters.forEach(({ tensor, decay, m, v }, i) => {
    const { beta1, beta2, eps, weightDecay } = settings;
    const adamwSettings: AdamwSettings = { beta1, beta2, eps, weightDecay: decay ? weightDecay : 0 };
    graph.add({
      op: 'adamw',
      inputs: [tensor.gradient!, schedule, health],
      outputs: [],
      updates: [tensor, m, v],
      launch: (_, bind) => [
        adamw(counts[i]!, adamwSettings, {
          gradient: bind(tensor.gradient!),
          schedule: bind(schedule),
          health: bind(health),
          parameter: bind(tensor),
          m: bind(m),
          v: bind(v),
        }),
      ],
    });
  });
  return { destroy: () => buffer.destroy() };
}
