/** What a training step keeps on the device, and its traced graphs. Whoever runs the graphs plans them. */
import { Arena } from '../autograd/arena.js';
import { backward } from '../autograd/backward.js';
import { Graph } from '../autograd/graph.js';
import { persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Memory } from '../gpu/memory.js';
import type { Command } from '../gpu/program.js';
import { SCHEDULE_STRIDE_BYTES } from '../kernels/gradient-norm.js';
import { BatchInputs, type BatchOptions, checkSizes } from '../model/batch.js';
import { type BatchShape, type Checkpointing, traceLosses } from '../model/llama.js';
import type { ModelTensors } from '../model/tensors.js';
import { addSum } from '../ops/sum.js';
import { firstScaler, type OptimizerSettings, STEP_HEALTH_BYTES, traceUpdate } from '../optim/adamw.js';
import { traceAverage, traceSwap } from '../optim/average.js';
import { type GradientStorage, GradientTensors } from './gradient-tensors.js';
import type { Offload } from './host-moments.js';
import { MomentTensors, type MomentType } from './moments.js';
import { type ParameterRule, treatmentsOf } from './parameter-rules.js';
import { averagedStretches, type TrainedGroup, updatedStretches } from './update-stretches.js';

export interface TrainerSettings extends BatchShape, Pick<BatchOptions, 'documentEnd'> {
  /** The number of micro-batches of B sequences that make an optimizer step. */
  readonly microBatches: number;
  readonly optimizer: OptimizerSettings;
  /** What AdamW's moments of matrices are kept in; f32 by default. */
  readonly momentType?: MomentType | undefined;
  /** `moments`: those of matrices are kept in host memory, and pass through the device; the bits are the same. */
  readonly offload?: Offload | undefined;
  /**
   * The bytes of a slot that they pass through, at most.
   * @internal
   */
  readonly slotBytes?: number | undefined;
  /** What gradients of matrices are kept in; f32 by default. f16 is for a model in f16, whose losses are scaled. */
  readonly gradientStorage?: GradientStorage | undefined;
  /** What the backward pass recomputes instead of keeping; 'none' by default. The gradients are the same bits. */
  readonly checkpointing?: Checkpointing | undefined;
  /** The number of first steps in which only the embedding and an untied head change; 0 by default. */
  readonly frozenSteps?: number | undefined;
  /** Rules for parameters that are trained otherwise than the rest, or not at all; the first that matches wins. */
  readonly parameterGroups?: readonly ParameterRule[] | undefined;
  /**
   * The number of updates that the moments had seen before the first step, if they come from another run; 0 by default.
   */
  readonly earlierUpdates?: number | undefined;
  /** β of the running average of weights (see `optim/average.ts`), from 0 to below 1; by default there is none. */
  readonly emaDecay?: number | undefined;
  /** Whether the tokens that a step predicts have weights; by default all count alike. */
  readonly weighted?: boolean | undefined;
  /** The number of trainers that share a step, each with such a batch of its own; 1 by default. */
  readonly sharers?: number | undefined;
}

/** The number of steps whose reports wait on the device until they are read. */
export const HISTORY = 64;

/** What is frozen for as many first steps has a schedule of its own. */
export interface Stage {
  readonly frozenSteps: number;
  readonly schedule: Tensor;
}

/** Checks that matrices in bf16 can be updated. @throws UserError when they cannot. */
function checkWeightType({ stored, lora }: ModelTensors, { momentType, emaDecay }: TrainerSettings): void {
  if (lora && emaDecay !== undefined) throw new UserError('lora keeps no average of weights: leave out emaDecay');
  if (stored.items.length === 0 || lora) return;
  if (momentType !== '8bit') throw new UserError("weightType bf16 goes with moments in 8 bits: use momentType '8bit'");
  if (emaDecay !== undefined) {
    throw new UserError(
      'weightType bf16 has no room for the small steps of an average: leave out emaDecay, or use f32',
    );
  }
}

/** Checks that gradients can be kept in f16. @throws UserError when losses are not scaled: most would be 0. */
function checkGradients({ precision }: ModelTensors, { gradientStorage }: TrainerSettings): void {
  if (gradientStorage !== 'f16' || precision === 'f16') return;
  throw new UserError('gradientStorage f16 goes with precision f16, whose loss scaling keeps small gradients from 0');
}

export class TracedStep {
  /** The parameters that are trained, by group. */
  readonly parameters: ReadonlyMap<string, TrainedGroup>;
  readonly gradients: GradientTensors;
  /** The running average of the weights, and the rate [1] at which it follows them, where there is one. */
  readonly average: Arena | undefined;
  readonly averageRate: Tensor | undefined;
  readonly moments: MomentTensors;
  readonly inputs: BatchInputs;
  /** The micro-batches of a step, one after another. */
  readonly packed: DeviceBuffer;
  /** The mean loss of the step's tokens [1]; where it is shared, this trainer's part of that mean. */
  readonly loss: Tensor;
  readonly schedule: Tensor;
  /** The schedules of the parameters that are frozen at first, in the order in which that ends. */
  readonly stages: readonly Stage[];
  readonly stepHealth: Tensor;
  /** What steps are judged by: see kernels/gradient_norm.wgsl. */
  readonly guard: Tensor;
  /** The state of loss scaling, in f16. */
  readonly scaler: Tensor | undefined;
  /** The health of the last HISTORY steps. */
  readonly history: DeviceBuffer;
  /** The forward and backward pass of a micro-batch, which adds to the gradients and to the loss. */
  readonly microBatch = new Graph();
  /** The update: clipping, AdamW, and the average of weights. */
  readonly update = new Graph();
  /** Lets weights and average change places; empty where there is no average. */
  readonly swap = new Graph();
  readonly #norms: { destroy(): void };
  readonly #owned: DeviceBuffer[] = [];

  /**
   * Makes the buffers and traces the graphs.
   * @throws UserError when a size is not a whole number above 0, or a buffer exceeds the adapter's limits.
   */
  constructor(memory: Memory, model: ModelTensors, settings: TrainerSettings) {
    checkSizes({ microBatches: settings.microBatches });
    checkWeightType(model, settings);
    checkGradients(model, settings);
    const make = (name: string, sizeBytes: number) => {
      const buffer = memory.createBuffer(name, sizeBytes);
      this.#owned.push(buffer);
      return buffer;
    };
    const tensor = (name: string, shape: readonly number[]) => persistent(name, shape, make(name, 4 * sizeOf(shape)));
    try {
      const { weightDecay } = settings.optimizer;
      const treatments = treatmentsOf(model.config, { ...settings, weightDecay, lora: model.lora });
      const isTrained = ({ name }: { readonly name: string }) => !treatments.get(name)!.frozen;
      const ends = [...new Set([...treatments.values()].map(({ frozenSteps }) => frozenSteps))].filter(end => end > 0);
      const stride = SCHEDULE_STRIDE_BYTES / 4;
      const schedules = ends.length > 0 ? tensor('schedules of what is frozen', [stride * ends.length]) : undefined;
      this.stages = ends
        .sort((a, b) => a - b)
        .map((frozenSteps, i) => ({
          frozenSteps,
          schedule: persistent(`schedule ${i}`, [4], schedules!.buffer!, 'f32', i * SCHEDULE_STRIDE_BYTES),
        }));
      const items = [...model.stored.items, ...model.weights.items].filter(isTrained);
      const groups = new Map(model.groups.map(group => [group.name, group]));
      const inOrder = items.map(({ name }) => groups.get(name)!);
      this.gradients = new GradientTensors(memory, inOrder, settings.gradientStorage ?? 'f32');
      this.moments = new MomentTensors(memory, inOrder, {
        type: settings.momentType ?? 'f32',
        offload: settings.offload ?? 'none',
      });
      const hasAverage = settings.emaDecay !== undefined;
      this.average = hasAverage ? new Arena(memory, 'average', model.weights.items) : undefined;
      this.#owned.push(...(this.average?.buffers ?? []));
      this.averageRate = hasAverage ? tensor('rate of the average', [1]) : undefined;
      this.parameters = new Map(
        model.groups.filter(isTrained).map(({ name }) => {
          const treatment = treatments.get(name)!;
          const schedule = this.stages.find(({ frozenSteps }) => frozenSteps === treatment.frozenSteps)?.schedule;
          const gradient = this.gradients.tensor(name);
          const tensor = { ...model.weight(name), gradient };
          const matrix = { ...model.matrix(name), gradient };
          return [name, { tensor, matrix, moments: this.moments.of(name), schedule, treatment }];
        }),
      );
      this.inputs = new BatchInputs(memory, settings, settings);
      this.packed = make('packed batch', 4 * settings.microBatches * this.inputs.words);
      this.loss = tensor('loss', [1]);
      this.schedule = tensor('schedule', [4]);
      this.stepHealth = tensor('health', [STEP_HEALTH_BYTES / 4]);
      this.guard = tensor('guard', [4]);
      if (model.precision === 'f16') {
        const first = firstScaler(
          settings.optimizer,
          0,
          ends.map(() => 0),
        );
        this.scaler = tensor('loss scaling', [first.length]);
        memory.write(this.scaler.buffer!, first);
      }
      this.history = make('history', HISTORY * STEP_HEALTH_BYTES);
      this.#traceMicroBatch(model, settings);
      const { schedule, stepHealth: health, guard, scaler } = this;
      const stages = { stages: ends.length, stageSchedules: schedules };
      const state = { loss: this.loss, schedule, ...stages, health, guard, scaler };
      const updated = updatedStretches(memory, model, this, settings.slotBytes);
      this.#norms = traceUpdate(this.update, memory, updated, settings.optimizer, state);
      for (const averaged of averagedStretches(model, this.average)) {
        traceAverage(this.update, averaged, { rate: this.averageRate!, health });
        traceSwap(this.swap, averaged);
      }
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  #traceMicroBatch(model: ModelTensors, { B, T, microBatches, checkpointing, sharers = 1 }: TrainerSettings): void {
    const graph = this.microBatch;
    const { config, precision, adapters } = model;
    const tensors = {
      config,
      precision,
      adapters,
      weight: (group: string) => this.parameters.get(group)?.tensor ?? model.weight(group),
      matrix: (group: string) => this.parameters.get(group)?.matrix ?? model.matrix(group),
      ropeTable: (length: number, local: boolean) => model.ropeTable(length, local),
    };
    const { weights } = this.inputs;
    const scale = weights ? 1 : 1 / (B * T * microBatches * sharers); // weights come as shares of their sum
    const gradient = { scale, lossScale: this.scaler, weights };
    const losses = traceLosses(graph, tensors, this.inputs, { B, T }, { gradient, checkpointing });
    addSum(graph, losses, scale, this.loss);
    backward(graph, losses);
  }

  /** Returns the commands that set the gradients and the loss to zero, which a step adds to. */
  clear(): Command[] {
    return [this.loss.buffer!, ...this.gradients.buffers].map(buffer => ({ kind: 'clear', buffer }));
  }

  destroy(): void {
    this.#norms?.destroy();
    this.inputs?.destroy();
    this.gradients?.destroy();
    this.moments?.destroy();
    for (const buffer of this.#owned) buffer.destroy();
  }
}
