/** Held-out loss, and logits, of a model: forward passes planned once for a batch shape. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, type Tensor } from '../autograd/tensor.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Memory } from '../gpu/memory.js';
import { IGNORED_TARGET } from '../kernels/rows.js';
import { BatchInputs, packSequences } from '../model/batch.js';
import { type BatchShape, traceLogits, traceLosses } from '../model/llama.js';
import type { ForwardTensors, Model } from '../model/model.js';
import { addSum } from '../ops/sum.js';

/** A sum of losses in nats over a number of predicted tokens. */
export interface LossSum {
  readonly nats: number;
  readonly tokens: number;
}

/** The tensors of an evaluation in buffers of `memory`, and its traced graph: `total` += the batch's summed loss. */
export class TracedEvaluation {
  readonly inputs: BatchInputs;
  readonly packed: DeviceBuffer;
  readonly total: Tensor;
  readonly graph = new Graph();

  constructor(memory: Memory, model: ForwardTensors, shape: BatchShape) {
    this.inputs = new BatchInputs(memory, shape);
    this.packed = memory.createBuffer('packed evaluation batch', 4 * this.inputs.words);
    this.total = persistent('evaluation loss', [1], memory.createBuffer('evaluation loss', 4));
    addSum(this.graph, traceLosses(this.graph, model, this.inputs, shape), 1, this.total);
  }

  destroy(): void {
    this.inputs.destroy();
    this.packed.destroy();
    this.total.buffer!.destroy();
  }
}

/** Forward passes over batches of at most B sequences of T tokens. Free it with `destroy`. */
export class Evaluator {
  readonly shape: BatchShape;
  readonly #model: Model;
  readonly #traced: TracedEvaluation;
  readonly #plan: Plan;

  private constructor(model: Model, shape: BatchShape, traced: TracedEvaluation, planned: Plan) {
    this.#model = model;
    this.shape = shape;
    this.#traced = traced;
    this.#plan = planned;
  }

  static async create(model: Model, shape: BatchShape): Promise<Evaluator> {
    const traced = new TracedEvaluation(model.device, model, shape);
    try {
      return new Evaluator(model, shape, traced, await plan(model.device, traced.graph, { kernels: model.kernels }));
    } catch (error) {
      traced.destroy();
      throw error;
    }
  }

  /**
   * Summed loss over sequences [n, T+1], every prediction of each but those of IGNORED_TARGET. Sums of batches are added
   * in float64.
   */
  async loss(sequences: Uint32Array): Promise<LossSum> {
    const { B, T } = this.shape;
    const { device, config } = this.#model;
    const { inputs, packed, total } = this.#traced;
    const count = sequences.length / (T + 1);
    let nats = 0;
    let tokens = 0;
    for (let first = 0; first < count; first += B) {
      const batch = sequences.subarray(first * (T + 1), Math.min(first + B, count) * (T + 1));
      for (let i = 0; i < batch.length; i++) if (i % (T + 1) > 0 && batch[i] !== IGNORED_TARGET) tokens++;
      device.write(packed, packSequences(batch, this.shape, 1, config.vocabSize));
      device.submit([{ kind: 'clear', buffer: total.buffer! }, ...inputs.load(packed, 0), ...this.#plan.commands]);
      nats += new Float32Array(await device.read(total.buffer!, 0, 4))[0]!;
    }
    return { nats, tokens };
  }

  destroy(): void {
    this.#plan.destroy();
    this.#traced.destroy();
  }
}

/** Logits [B, T, V] for token ids [B, T]. */
export async function logits(model: Model, ids: Uint32Array, shape: BatchShape): Promise<Float32Array> {
  const { B, T } = shape;
  if (ids.length !== B * T) throw new Error(`logits: ${ids.length} ids are not [${B}, ${T}]`);
  const { device, config } = model;
  const inputs = new BatchInputs(device, shape);
  const packed = device.createBuffer('packed ids', 4 * inputs.words);
  const graph = new Graph();
  const tensor = traceLogits(graph, model, inputs.tokens, shape);
  const planned = await plan(device, graph, { keep: [tensor], kernels: model.kernels });
  const sequences = new Uint32Array(B * (T + 1));
  for (let b = 0; b < B; b++) sequences.set(ids.subarray(b * T, (b + 1) * T), b * (T + 1));
  device.write(packed, packSequences(sequences, shape, 1, config.vocabSize));
  device.submit([...inputs.load(packed, 0), ...planned.commands]);
  const { buffer } = planned.rangeOf(tensor);
  const values = new Float32Array(await device.read(buffer, 0, 4 * B * T * config.vocabSize));
  planned.destroy();
  inputs.destroy();
  packed.destroy();
  return values;
}

/** Cuts ids into sequences [n, T+1] that predict every id but the first; the last is filled up with IGNORED_TARGET. */
export function sequencesOf(ids: Uint32Array, T: number): Uint32Array {
  const count = Math.ceil(Math.max(0, ids.length - 1) / T);
  const sequences = new Uint32Array(count * (T + 1)).fill(IGNORED_TARGET);
  for (let i = 0; i < count; i++) sequences.set(ids.subarray(i * T, i * T + T + 1), i * (T + 1));
  return sequences;
}
