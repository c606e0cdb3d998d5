/** A model's weights on a device. */
import { Arena } from '../autograd/arena.js';
import { Graph } from '../autograd/graph.js';
import { plan } from '../autograd/plan.js';
import { persistent, showShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import type { Device } from '../gpu/device.js';
import type { Memory } from '../gpu/memory.js';
import { KernelTable } from '../kernels/table.js';
import { copyInto } from '../ops/cast.js';
import { ropeTable } from '../ops/rope.js';
import {
  type ModelConfig,
  type ParameterGroup,
  type ParameterSpec,
  parameterGroups,
  parameterSpecs,
  validateModelConfig,
} from './config.js';

/** Values for a parameter of the given name and shape: all of them, or in pieces, each of which is done with at the next. */
export type ParameterSource = (spec: ParameterSpec) => Float32Array | Promise<Float32Array> | Iterable<Float32Array>;

/**
 * What matrices and activations are stored in. With `f16` each matrix has an f16 copy beside its f32 master, and products
 * and attention read and write halves; norms, the residual stream, sums and the optimizer stay f32.
 */
export const PRECISIONS = ['f32', 'f16'] as const;
export type Precision = (typeof PRECISIONS)[number];

export interface ModelOptions {
  readonly precision?: Precision;
  /** Which variants of kernels the model runs with; by default the shipped ones. */
  readonly kernels?: KernelTable | undefined;
}

/** Tensors of the weights, by group name (see parameterGroups). */
export interface Weights {
  /** The f32 values: what norms and the embedding read. */
  weight(group: string): Tensor;
  /** What matrix products read: the f32 values, or their copy in f16. */
  matrix(group: string): Tensor;
}

/** Where a parameter is: elements from `first` on of its group's tensor. */
export interface ParameterPlace {
  readonly group: string;
  readonly first: number;
  readonly count: number;
}

/** What a forward pass reads: parameters, with their gradients where those are wanted, and the rotation table. */
export interface ForwardTensors extends Weights {
  readonly config: ModelConfig;
  readonly precision: Precision;
  /** [T, headDim/2, 2] for sequences of T tokens. */
  ropeTable(T: number): Tensor;
}

/** The tensors of a model in buffers of `memory`, without values yet. Free them with `destroy`. */
export class ModelTensors implements ForwardTensors {
  readonly config: ModelConfig;
  readonly precision: Precision;
  readonly kernels: KernelTable;
  /** Parameters by Hugging Face name, and the groups that are kept together on the device. */
  readonly specs: readonly ParameterSpec[];
  readonly groups: readonly ParameterGroup[];
  /** Weights by group, and the f16 copies of those that have one. */
  readonly weights: Arena;
  readonly halves: Arena;
  readonly #memory: Memory;
  readonly #places: ReadonlyMap<string, ParameterPlace>;
  readonly #tables = new Map<number, Tensor>();

  /** @throws UserError when the configuration is not sound, a weight exceeds the adapter's limits, or it has no f16. */
  constructor(memory: Memory, config: ModelConfig, { precision = 'f32', kernels }: ModelOptions = {}) {
    this.config = validateModelConfig(config);
    if (precision === 'f16' && !memory.adapter.features.includes('shader-f16')) {
      throw new UserError(`the adapter '${memory.adapter.name}' has no f16 (shader-f16); use precision f32`);
    }
    this.precision = precision;
    this.kernels = kernels ?? new KernelTable(memory.adapter);
    this.specs = parameterSpecs(config);
    this.groups = parameterGroups(config);
    this.#places = placesOf(this.groups);
    this.#memory = memory;
    // matrices first: their halves are in the same places, and what decays alike stands together
    const matrices = this.groups.filter(({ decay }) => decay);
    const norms = this.groups.filter(({ decay }) => !decay);
    this.weights = new Arena(memory, 'weight', [...matrices, ...norms]);
    try {
      this.halves = new Arena(memory, 'f16', precision === 'f16' ? matrices : [], 'f16');
    } catch (error) {
      this.weights.destroy();
      throw error;
    }
  }

  weight(group: string): Tensor {
    return this.weights.tensor(group);
  }

  matrix(group: string): Tensor {
    return this.halves.has(group) ? this.halves.tensor(group) : this.weight(group);
  }

  /** Where a parameter is. @throws Error when the model has none of that name. */
  place(name: string): ParameterPlace {
    const place = this.#places.get(name);
    if (!place) throw new Error(`the model has no parameter '${name}'`);
    return place;
  }

  ropeTable(T: number): Tensor {
    let table = this.#tables.get(T);
    if (!table) {
      const { headDim, ropeTheta, ropeScaling } = this.config;
      const shape = [T, headDim / 2, 2];
      const buffer = this.#memory.createBuffer(`rope table ${T}`, 4 * sizeOf(shape));
      table = persistent(buffer.label, shape, buffer);
      this.#memory.write(buffer, ropeTable(T, headDim, ropeTheta, ropeScaling));
      this.#tables.set(T, table);
    }
    return table;
  }

  destroy(): void {
    this.weights.destroy();
    this.halves.destroy();
    for (const { buffer } of this.#tables.values()) buffer!.destroy();
  }
}

/** Weights on a device. Free them with `destroy`. */
export class Model extends ModelTensors {
  readonly device: Device;
  #destroyed = false;

  private constructor(device: Device, config: ModelConfig, options: ModelOptions) {
    super(device, config, options);
    this.device = device;
  }

  /**
   * Makes a model with values from `source`.
   * @throws UserError when the configuration is not sound, a weight exceeds the adapter's limits, or the adapter has no f16.
   */
  static async create(
    device: Device,
    config: ModelConfig,
    source: ParameterSource,
    options: ModelOptions = {},
  ): Promise<Model> {
    const model = new Model(device, config, options);
    try {
      for (const spec of model.specs) {
        const values = await source(spec);
        const { group, first } = model.place(spec.name);
        const { buffer, offsetBytes } = rangeOfPart(model.weight(group), first);
        let given = 0;
        for (const piece of values instanceof Float32Array ? [values] : values) {
          device.write(buffer, piece, offsetBytes + 4 * given);
          given += piece.length;
        }
        if (given !== sizeOf(spec.shape)) {
          throw new Error(`'${spec.name}' ${showShape(spec.shape)} was given ${given} values`);
        }
      }
      await model.#fillHalves();
    } catch (error) {
      model.destroy();
      throw error;
    }
    return model;
  }

  async #fillHalves(): Promise<void> {
    const stretches = this.halves.stretches(() => true);
    if (stretches.length === 0) return;
    const graph = new Graph();
    for (const names of stretches) copyInto(graph, this.weights.span(names), this.halves.span(names));
    const copies = await plan(this.device, graph, { kernels: this.kernels });
    this.device.submit(copies.commands);
    copies.destroy();
  }

  /** @throws UserError when the model was destroyed. */
  check(): void {
    if (this.#destroyed) throw new UserError('the model was destroyed; make or load it again, or destroy it later');
  }

  override destroy(): void {
    this.#destroyed = true;
    super.destroy();
  }

  /** A parameter's values, by Hugging Face name, after everything submitted so far. */
  async read(name: string): Promise<Float32Array> {
    return this.readPart(name, group => this.weight(group));
  }

  /** A parameter's part of some f32 tensor of its group's shape: its gradient, say. */
  async readPart(name: string, tensorOf: (group: string) => Tensor): Promise<Float32Array> {
    this.check();
    const { group, first, count } = this.place(name);
    const { buffer, offsetBytes } = rangeOfPart(tensorOf(group), first);
    return new Float32Array(await this.device.read(buffer, offsetBytes, 4 * count));
  }

  /** Overwrites a parameter's part of some f32 tensor of its group's shape. */
  writePart(name: string, tensorOf: (group: string) => Tensor, values: Float32Array): void {
    const { group, first } = this.place(name);
    const { buffer, offsetBytes } = rangeOfPart(tensorOf(group), first);
    this.device.write(buffer, values, offsetBytes);
  }
}

/** Where the element `first` of a persistent f32 tensor is. */
const rangeOfPart = ({ buffer, offsetBytes = 0 }: Tensor, first: number) => ({
  buffer: buffer!,
  offsetBytes: offsetBytes + 4 * first,
});

function placesOf(groups: readonly ParameterGroup[]): ReadonlyMap<string, ParameterPlace> {
  const places = new Map<string, ParameterPlace>();
  for (const { name: group, parts } of groups) {
    let first = 0;
    for (const { name, shape } of parts) {
      places.set(name, { group, first, count: sizeOf(shape) });
      first += sizeOf(shape);
    }
  }
  return places;
}
