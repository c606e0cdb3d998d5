/**
 * A training step: micro-batches of forward and backward with gradients accumulated, then clipping and AdamW, as one
 * program that was traced, planned and bound once. A step encodes and submits; it waits for nothing.
 */

import { backward } from '../autograd/backward.js';
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Device } from '../gpu/device.js';
import type { Command } from '../gpu/program.js';
import { BatchInputs, packSequences } from '../model/batch.js';
import { type BatchShape, traceLogits } from '../model/llama.js';
import type { Model, Weights } from '../model/model.js';
import { crossEntropy } from '../ops/cross-entropy.js';
import { addSum } from '../ops/sum.js';
import {
  firstScaler,
  HEALTH_BYTES,
  type OptimizedParameter,
  type OptimizerSettings,
  readHealth,
  type StepHealth,
  scheduleWords,
  traceUpdate,
} from '../optim/adamw.js';

export interface TrainerSettings extends BatchShape {
  /** Micro-batches of B sequences that make an optimizer step. */
  readonly microBatches: number;
  readonly optimizer: OptimizerSettings;
}

/** The optimizer's state of a parameter, on the host. */
export interface Moments {
  readonly m: Float32Array;
  readonly v: Float32Array;
}

/** Steps whose reports wait on the device until they are read. */
const HISTORY = 64;

export class Trainer {
  readonly model: Model;
  readonly settings: TrainerSettings;
  /** Optimizer steps made so far. */
  step = 0;
  readonly #device: Device;
  /** By group name. */
  readonly #parameters: ReadonlyMap<string, OptimizedParameter & { readonly matrix: Tensor }>;
  readonly #owned: DeviceBuffer[] = [];
  #inputs!: BatchInputs;
  #packed!: DeviceBuffer;
  #schedule!: Tensor;
  #health!: Tensor;
  #scaler: Tensor | undefined;
  #history!: DeviceBuffer;
  #unread = 0;
  #plans: Plan[] = [];
  #norms: { destroy(): void } | undefined;
  #program: Command[] = [];

  private constructor(model: Model, settings: TrainerSettings) {
    this.model = model;
    this.settings = settings;
    this.#device = model.device;
    this.#parameters = new Map(
      model.groups.map(({ name, shape, decay }) => {
        const place = (kind: string) => this.#tensor(`${name} (${kind})`, shape);
        const gradient = place('gradient');
        const [weight, copy] = [model.weight(name), model.matrix(name)];
        return [
          name,
          {
            tensor: { ...weight, gradient },
            matrix: { ...copy, gradient },
            half: copy === weight ? undefined : copy,
            decay,
            m: place('m'),
            v: place('v'),
          },
        ];
      }),
    );
  }

  /**
   * Traces, plans and compiles the step.
   * @throws UserError when a buffer exceeds the adapter's limits (its name and the limit are said).
   */
  static async create(model: Model, settings: TrainerSettings): Promise<Trainer> {
    const trainer = new Trainer(model, settings);
    try {
      await trainer.#build();
    } catch (error) {
      trainer.destroy();
      throw error;
    }
    return trainer;
  }

  #tensor(name: string, shape: readonly number[]): Tensor {
    const tensor = persistent(name, shape, this.#device.createBuffer(name, 4 * sizeOf(shape)));
    this.#owned.push(tensor.buffer!);
    return tensor;
  }

  async #build(): Promise<void> {
    const { microBatches, optimizer } = this.settings;
    this.#inputs = new BatchInputs(this.#device, this.settings);
    this.#packed = this.#device.createBuffer('packed batch', 4 * microBatches * this.#inputs.words);
    const loss = this.#tensor('loss', [1]);
    this.#schedule = this.#tensor('schedule', [4]);
    this.#health = this.#tensor('health', [HEALTH_BYTES / 4]);
    if (this.model.precision === 'f16') {
      this.#scaler = this.#tensor('loss scaling', [4]);
      this.#device.write(this.#scaler.buffer!, firstScaler());
    }
    this.#history = this.#device.createBuffer('history', HISTORY * HEALTH_BYTES);
    this.#owned.push(this.#packed, this.#history);

    const step = new Graph();
    this.#traceLoss(step, loss);
    const { kernels } = this.model;
    const stepPlan = await plan(this.#device, step, { kernels });
    this.#plans.push(stepPlan);
    const update = new Graph();
    const parameters = [...this.#parameters.values()];
    this.#norms = traceUpdate(update, this.#device, parameters, optimizer, {
      loss,
      schedule: this.#schedule,
      health: this.#health,
      scaler: this.#scaler,
    });
    const updatePlan = await plan(this.#device, update, { kernels });
    this.#plans.push(updatePlan);

    const cleared = [loss, ...parameters.map(({ tensor }) => tensor.gradient!)];
    this.#program = cleared.map(({ buffer }): Command => ({ kind: 'clear', buffer: buffer! }));
    for (let micro = 0; micro < microBatches; micro++) {
      this.#program.push(...this.#inputs.load(this.#packed, micro), ...stepPlan.commands);
    }
    this.#program.push(...updatePlan.commands);
  }

  #traceLoss(graph: Graph, loss: Tensor): void {
    const { B, T, microBatches } = this.settings;
    const weights: Weights = {
      weight: name => this.#parameters.get(name)!.tensor,
      matrix: name => this.#parameters.get(name)!.matrix,
    };
    const logits = traceLogits(graph, this.model, weights, this.#inputs.tokens, { B, T });
    const scale = 1 / (B * T * microBatches);
    const losses = crossEntropy(graph, logits, this.#inputs.targets, {
      scale,
      dtype: this.model.precision,
      lossScale: this.#scaler,
    });
    addSum(graph, losses, scale, loss);
    backward(graph, losses);
  }

  /** Tokens that an optimizer step is trained on. */
  get tokensPerStep(): number {
    return this.settings.microBatches * this.settings.B * this.settings.T;
  }

  /** Bytes of activations, their gradients and scratch. */
  get planBytes(): number {
    return this.#plans.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  /** The commands of a step, for profiling with `device.time`. */
  get program(): readonly Command[] {
    return this.#program;
  }

  /**
   * Submits an optimizer step on sequences [microBatches*B, T+1] and returns at once; `reports` tells how it went.
   * @throws UserError when a token id is outside the vocabulary; Error when 64 steps wait for `reports`.
   */
  submit(sequences: Uint32Array, learningRate: number): void {
    const { B, T, microBatches, optimizer } = this.settings;
    const expected = microBatches * B * (T + 1);
    if (sequences.length !== expected) {
      throw new Error(
        `a step takes ${microBatches * B} sequences of ${T + 1} tokens (${expected}), not ${sequences.length}`,
      );
    }
    if (this.#unread === HISTORY) throw new Error(`${HISTORY} steps have not been read: call reports()`);
    this.#device.write(
      this.#packed,
      packSequences(sequences, this.settings, microBatches, this.model.config.vocabSize),
    );
    this.step++;
    this.#device.write(this.#schedule.buffer!, scheduleWords(optimizer, this.step, learningRate));
    const from = { buffer: this.#health.buffer!, offsetBytes: 0, sizeBytes: HEALTH_BYTES };
    const to = { buffer: this.#history, offsetBytes: this.#unread++ * HEALTH_BYTES, sizeBytes: HEALTH_BYTES };
    this.#device.submit([...this.#program, { kind: 'copy', from, to }]);
  }

  /**
   * An optimizer step on sequences [microBatches*B, T+1], waited for. In a loop, `submit` and `reports` keep the device
   * busier.
   */
  async trainStep(sequences: Uint32Array, learningRate: number): Promise<StepHealth> {
    this.submit(sequences, learningRate);
    return (await this.reports()).at(-1)!;
  }

  /** Steps submitted since the last `reports`. */
  get unread(): number {
    return this.#unread;
  }

  /** Waits for the submitted steps and returns what each reports, in order. */
  async reports(): Promise<StepHealth[]> {
    const count = this.#unread;
    this.#unread = 0;
    if (count === 0) return [];
    const bytes = await this.#device.read(this.#history); // always whole: a readback buffer of one size serves all
    return Array.from({ length: count }, (_, i) => readHealth(bytes, i * HEALTH_BYTES));
  }

  /** The gradients of the last step, before clipping (and times the loss scale, in f16), by Hugging Face name. */
  async gradients(): Promise<Map<string, Float32Array>> {
    const gradients = new Map<string, Float32Array>();
    for (const { name } of this.model.specs) {
      gradients.set(name, await this.model.readPart(name, group => this.#parameters.get(group)!.tensor.gradient!));
    }
    return gradients;
  }

  /** The optimizer's moments of a parameter, by Hugging Face name. */
  async moments(name: string): Promise<Moments> {
    const read = (moment: 'm' | 'v') => this.model.readPart(name, group => this.#parameters.get(group)![moment]);
    return { m: await read('m'), v: await read('v') };
  }

  /** [4], the state of dynamic loss scaling (see firstScaler); undefined in f32. */
  async scaler(): Promise<Float32Array | undefined> {
    return this.#scaler && new Float32Array(await this.#device.read(this.#scaler.buffer!));
  }

  /** Puts back moments, the step count and, in f16, the state of loss scaling, to go on where a run stopped. */
  restore(step: number, momentsOf: (name: string) => Moments, scaler?: Float32Array): void {
    for (const { name } of this.model.specs) {
      const { group, first } = this.model.place(name);
      const { m, v } = this.#parameters.get(group)!;
      const moments = momentsOf(name);
      this.#device.write(m.buffer!, moments.m, 4 * first);
      this.#device.write(v.buffer!, moments.v, 4 * first);
    }
    if (this.#scaler && scaler) this.#device.write(this.#scaler.buffer!, scaler);
    this.step = step;
  }

  destroy(): void {
    for (const made of this.#plans) made.destroy();
    this.#norms?.destroy();
    this.#inputs?.destroy();
    for (const buffer of this.#owned) buffer.destroy();
  }
}
