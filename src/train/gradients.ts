/** Loss and gradients of a model on given tokens, without an optimizer. */
import { backward } from '../autograd/backward.js';
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import { BatchInputs, type BatchOptions, checkBatch, checkDocumentEnd } from '../model/batch.js';
import { type BatchShape, type Checkpointing, traceLosses } from '../model/llama.js';
import type { Model } from '../model/model.js';
import { addSum } from '../ops/sum.js';
import { checkWeights, sharesOf, sumOfWeights } from './token-weights.js';

/** The loss scale of a single f16 pass: a power of two, so that dividing by it is exact. */
const LOSS_SCALE = 1024;

/** A traced forward and backward pass with gradient buffers of its own. Free it with `destroy`. */
export class GradientPass {
  readonly plan: Plan;
  readonly #model: Model;
  readonly #shape: BatchShape;
  readonly #inputs: BatchInputs;
  readonly #packed: DeviceBuffer;
  readonly #loss: Tensor;
  readonly #gradients: ReadonlyMap<string, Tensor>;
  readonly #scaler: Tensor | undefined;
  readonly #lossScale: number;

  private constructor(
    model: Model,
    shape: BatchShape,
    made: {
      inputs: BatchInputs;
      packed: DeviceBuffer;
      loss: Tensor;
      gradients: ReadonlyMap<string, Tensor>;
      plan: Plan;
      scaler: Tensor | undefined;
      lossScale: number;
    },
  ) {
    this.#model = model;
    this.#shape = shape;
    this.#inputs = made.inputs;
    this.#packed = made.packed;
    this.#loss = made.loss;
    this.#gradients = made.gradients;
    this.plan = made.plan;
    this.#scaler = made.scaler;
    this.#lossScale = made.lossScale;
  }

  static async create(
    model: Model,
    shape: BatchShape,
    options: {
      readonly keepAll?: boolean;
      readonly checkpointing?: Checkpointing;
      readonly lossScale?: number;
      /** Whether the gradient of a group is wanted; by default all are. */
      readonly isTrained?: (group: string) => boolean;
    } & BatchOptions = {},
  ): Promise<GradientPass> {
    const { device } = model;
    const inputs = new BatchInputs(device, shape, options);
    const packed = device.createBuffer('packed batch', 4 * inputs.words);
    const make = (name: string, dimensions: readonly number[]) =>
      persistent(name, dimensions, device.createBuffer(name, 4 * sizeOf(dimensions)));
    const loss = make('loss', [1]);
    const { isTrained = () => true } = options;
    const trained = model.groups.filter(({ name }) => isTrained(name));
    const gradients = new Map(
      trained.map(({ name, shape: dimensions }) => [name, make(`gradient of ${name}`, dimensions)]),
    );
    const withGradient = (tensor: Tensor, group: string) => {
      const gradient = gradients.get(group);
      return gradient ? { ...tensor, gradient } : tensor;
    };
    const { config, precision, variants, adapters } = model;
    const tensors = {
      config,
      precision,
      adapters,
      weight: (group: string) => withGradient(model.weight(group), group),
      matrix: (group: string) => withGradient(model.matrix(group), group),
      ropeTable: (T: number, local: boolean) => model.ropeTable(T, local),
    };
    const lossScale = precision === 'f16' ? (options.lossScale ?? LOSS_SCALE) : 1;
    const scaler = precision === 'f16' ? make('loss scale', [1]) : undefined;
    if (scaler) device.write(scaler.buffer!, Float32Array.of(lossScale));
    const graph = new Graph();
    const { weights } = inputs;
    const scale = weights ? 1 : 1 / (shape.B * shape.T); // weights come as shares of their sum
    const { keepAll = false, checkpointing } = options;
    const gradient = { scale, lossScale: scaler, weights };
    const losses = traceLosses(graph, tensors, inputs, shape, { gradient, checkpointing });
    addSum(graph, losses, scale, loss);
    backward(graph, losses);
    const planned = await plan(device, graph, { keepAll, variants });
    return new GradientPass(model, shape, { inputs, packed, loss, gradients, plan: planned, scaler, lossScale });
  }

  /**
   * Submits a pass over sequences [B, T+1], or the commands given in its place; gradients start from zero. `weights`
   * [B, T] are for a pass that was made `weighted`.
   */
  submit(sequences: Uint32Array, commands = this.plan.commands, weights?: Float32Array): void {
    const { device, config } = this.#model;
    const shares = weights && sharesOf(weights, sumOfWeights(weights, sequences, this.#shape.T));
    device.write(this.#packed, this.#inputs.pack(sequences, 1, config.vocabSize, shares));
    device.submit([
      ...[this.#loss, ...this.#gradients.values()].map(({ buffer }) => ({ kind: 'clear', buffer: buffer! }) as const),
      ...this.#inputs.load(this.#packed, 0),
      ...commands,
    ]);
  }

  /** Returns the mean loss in nats and the gradients by parameter name, of the pass submitted last. */
  async read(): Promise<{ loss: number; gradients: Map<string, Float32Array> }> {
    const { device } = this.#model;
    const gradients = new Map<string, Float32Array>();
    for (const { name } of this.#model.specs) {
      if (!this.#gradients.has(this.#model.place(name).group)) continue;
      const scaled = await this.#model.readPart(name, group => this.#gradients.get(group)!);
      gradients.set(name, this.#lossScale === 1 ? scaled : scaled.map(value => value / this.#lossScale));
    }
    const loss = new Float32Array(await device.read(this.#loss.buffer!, 0, 4));
    return { loss: loss[0]!, gradients };
  }

  destroy(): void {
    this.plan.destroy();
    this.#inputs.destroy();
    this.#packed.destroy();
    this.#loss.buffer!.destroy();
    this.#scaler?.buffer?.destroy();
    for (const { buffer } of this.#gradients.values()) buffer!.destroy();
  }
}

/**
 * Returns the mean loss over sequences [B, T+1] (each predicts its ids but the first) and its gradient for every
 * parameter, by Hugging Face name. With `weights` [B, T] of what is predicted, the mean is Σ w·nll / Σ w. With
 * `documentEnd`, the id that ends a document, a token sees its own document alone.
 * @throws UserError when ids, weights or shape are not sound, the model was destroyed, or a buffer exceeds the
 * adapter's limits.
 * @example
 * import { createModel, lossAndGradients, openDevice } from 'babelgrad';
 *
 * const device = await openDevice();
 * const model = await createModel(device, { preset: 'tiny', vocabSize: 10 });
 * const sequences = Uint32Array.of(1, 2, 3, 4, 5, 6); // B sequences of T + 1 ids
 * const { loss, gradients } = await lossAndGradients(model, sequences, { B: 2, T: 2 });
 * console.log(loss, gradients.get('model.norm.weight'));
 */
export async function lossAndGradients(
  model: Model,
  sequences: Uint32Array,
  shape: BatchShape,
  weights?: Float32Array,
  { documentEnd }: Pick<BatchOptions, 'documentEnd'> = {},
): Promise<{ loss: number; gradients: Map<string, Float32Array> }> {
  checkBatch(model, sequences, shape);
  if (weights !== undefined) checkWeights(weights, sequences, shape.T);
  checkDocumentEnd(documentEnd, model.config.vocabSize);
  const pass = await GradientPass.create(model, shape, { weighted: weights !== undefined, documentEnd });
  try {
    pass.submit(sequences, pass.plan.commands, weights);
    return await pass.read();
  } finally {
    pass.destroy();
  }
}
