/** A model's weights on a device. */
import { Graph } from '../autograd/graph.js';
import { plan } from '../autograd/plan.js';
import { bytesOf, type DType, persistent, type Shape, showShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import type { Device } from '../gpu/device.js';
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

/** Values for a parameter of the given name and shape. */
export type ParameterSource = (spec: ParameterSpec) => Float32Array | Promise<Float32Array>;

/**
 * What matrices and activations are stored in. With `f16` each matrix has an f16 copy beside its f32 master, and products
 * and attention read and write halves; norms, the residual stream, sums and the optimizer stay f32.
 */
export type Precision = 'f32' | 'f16';

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

/** Weights on a device. Free them with `destroy`. */
export class Model implements Weights {
  readonly config: ModelConfig;
  readonly device: Device;
  readonly precision: Precision;
  readonly kernels: KernelTable;
  /** Parameters by Hugging Face name, and the groups that are kept together on the device. */
  readonly specs: readonly ParameterSpec[];
  readonly groups: readonly ParameterGroup[];
  readonly #places: ReadonlyMap<string, ParameterPlace>;
  readonly #weights = new Map<string, Tensor>();
  readonly #halves = new Map<string, Tensor>();
  readonly #tables = new Map<number, Tensor>();

  private constructor(device: Device, config: ModelConfig, { precision = 'f32', kernels }: ModelOptions) {
    this.device = device;
    this.config = config;
    this.precision = precision;
    this.kernels = kernels ?? new KernelTable(device.adapter);
    this.specs = parameterSpecs(config);
    this.groups = parameterGroups(config);
    this.#places = placesOf(this.groups);
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
    validateModelConfig(config);
    if (options.precision === 'f16' && !device.adapter.features.includes('shader-f16')) {
      throw new UserError(`the adapter '${device.adapter.name}' has no f16 (shader-f16); use precision f32`);
    }
    const model = new Model(device, config, options);
    try {
      await model.#fill(source);
    } catch (error) {
      model.destroy();
      throw error;
    }
    return model;
  }

  async #fill(source: ParameterSource): Promise<void> {
    for (const group of this.groups) {
      const tensor = this.#make(group.name, group.shape, 'f32');
      this.#weights.set(group.name, tensor);
      if (this.precision === 'f16' && group.decay) {
        this.#halves.set(group.name, this.#make(`${group.name} (f16)`, group.shape, 'f16'));
      }
      for (const spec of group.parts) {
        const values = await source(spec);
        if (values.length !== sizeOf(spec.shape)) {
          throw new Error(`'${spec.name}' ${showShape(spec.shape)} was given ${values.length} values`);
        }
        this.device.write(tensor.buffer!, values, 4 * this.place(spec.name).first);
      }
    }
    const graph = new Graph();
    for (const [name, half] of this.#halves) copyInto(graph, this.weight(name), half);
    if (graph.nodes.length === 0) return;
    const copies = await plan(this.device, graph, { kernels: this.kernels });
    this.device.submit(copies.commands);
    copies.destroy();
  }

  #make(name: string, shape: Shape, dtype: DType): Tensor {
    return persistent(name, shape, this.device.createBuffer(name, bytesOf({ shape, dtype })), dtype);
  }

  weight(group: string): Tensor {
    const tensor = this.#weights.get(group);
    if (!tensor) throw new Error(`the model has no weights '${group}'`);
    return tensor;
  }

  matrix(group: string): Tensor {
    return this.#halves.get(group) ?? this.weight(group);
  }

  /** Where a parameter is. @throws Error when the model has none of that name. */
  place(name: string): ParameterPlace {
    const place = this.#places.get(name);
    if (!place) throw new Error(`the model has no parameter '${name}'`);
    return place;
  }

  /** A parameter's values, by Hugging Face name, after everything submitted so far. */
  async read(name: string): Promise<Float32Array> {
    return this.readPart(name, group => this.weight(group));
  }

  /** A parameter's part of some f32 tensor of its group's shape: its gradient, say. */
  async readPart(name: string, tensorOf: (group: string) => Tensor): Promise<Float32Array> {
    const { group, first, count } = this.place(name);
    return new Float32Array(await this.device.read(tensorOf(group).buffer!, 4 * first, 4 * count));
  }

  /** The rotation table [T, headDim/2, 2] for sequences of T tokens. */
  ropeTable(T: number): Tensor {
    let table = this.#tables.get(T);
    if (!table) {
      const { headDim, ropeTheta } = this.config;
      table = this.#make(`rope table ${T}`, [T, headDim / 2, 2], 'f32');
      this.device.write(table.buffer!, ropeTable(T, headDim, ropeTheta));
      this.#tables.set(T, table);
    }
    return table;
  }

  destroy(): void {
    for (const tensors of [this.#weights, this.#halves, this.#tables]) {
      for (const { buffer } of tensors.values()) buffer!.destroy();
    }
  }
}

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
