/** A model's weights on a device. */
import { Arena } from '../autograd/arena.js';
import { Graph } from '../autograd/graph.js';
import { plan } from '../autograd/plan.js';
import { persistent, showShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import { bfloatsOf } from '../bfloat.js';
import { UserError } from '../errors.js';
import type { Device } from '../gpu/device.js';
import type { Memory } from '../gpu/memory.js';
import { BYTES, floatsOf } from '../kernels/element-type.js';
import { VariantTable } from '../kernels/variants.js';
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

/** Values in f32, or the bits of values in a two-byte type. */
export type Values = Float32Array | Uint16Array;
/**
 * Gives the values of a parameter, by its name and shape: all at once, or in pieces. A piece is done with when the next
 * one is asked for.
 */
export type ParameterSource = (spec: ParameterSpec) => Values | Promise<Values> | Iterable<Values>;

/**
 * The type in which matrices and activations are stored. With `f16` each matrix that is not stored in it has an f16
 * copy beside it, and products and attention read and write halves. Norms, the residual stream, sums and the optimizer
 * stay f32.
 */
export const PRECISIONS = ['f32', 'f16'] as const;
export type Precision = (typeof PRECISIONS)[number];

export const WEIGHT_TYPES = ['f32', 'bf16'] as const;
export type WeightType = (typeof WEIGHT_TYPES)[number];

export interface ModelOptions {
  readonly precision?: Precision;
  /** The table that says which variants of kernels the model runs with; by default the shipped ones. */
  readonly variants?: VariantTable | undefined;
  /**
   * What a model that is trained keeps its matrices in; f32 by default. bf16 is rounded by chance at every update, and
   * needs AdamW's moments in 8 bits and matrices of an even number of elements.
   */
  readonly weightType?: WeightType | undefined;
  /**
   * Whether the model may be trained, as by default. A model that is only used can keep its matrices in the two-byte
   * type of its checkpoint: this halves the memory, and the results are the same to the bit.
   */
  readonly trainable?: boolean | undefined;
}

/** The type in which the source of a model gives its matrices; norms are f32. */
export type MatrixType = 'f32' | 'f16' | 'bf16';

export interface TensorOptions extends ModelOptions {
  /**
   * What matrices are kept in, `weightType` by default. A two-byte type is allowed only where every matrix has an even
   * number of elements.
   */
  readonly matrixType?: MatrixType | undefined;
}

/** The tensors of the weights, by group name (see `parameterGroups`). */
export interface Weights {
  /** Returns what norms and the embedding read: the values, in the type in which they are held. */
  weight(group: string): Tensor;
  /** Returns what matrix products read: the values, or their copy in f16. */
  matrix(group: string): Tensor;
}

/** The place of a parameter: the elements from `first` on of its group's tensor. */
export interface ParameterPlace {
  readonly group: string;
  readonly first: number;
  readonly count: number;
}

/** What a forward pass reads: parameters, with their gradients where those are wanted, and the rotation table. */
export interface ForwardTensors extends Weights {
  readonly config: ModelConfig;
  readonly precision: Precision;
  /** Returns the rotation table [T, headDim/2, 2] for sequences of T tokens. */
  ropeTable(T: number): Tensor;
}

/** The tensors of a model in buffers of `memory`, without values yet. Free them with `destroy`. */
export class ModelTensors implements ForwardTensors {
  readonly config: ModelConfig;
  readonly precision: Precision;
  readonly trainable: boolean;
  readonly variants: VariantTable;
  /** The parameters by Hugging Face name, and the groups that are kept together on the device. */
  readonly specs: readonly ParameterSpec[];
  readonly groups: readonly ParameterGroup[];
  /**
   * The weights in f32 by group.
   * @internal
   */
  readonly weights: Arena;
  /**
   * The matrices that are in a two-byte type instead.
   * @internal
   */
  readonly stored: Arena;
  /**
   * The f16 copies of the matrices that have one.
   * @internal
   */
  readonly halves: Arena;
  readonly #memory: Memory;
  readonly #places: ReadonlyMap<string, ParameterPlace>;
  readonly #tables = new Map<number, Tensor>();

  /**
   * Makes the tensors.
   * @throws UserError when the configuration is not sound, a weight exceeds the adapter's limits, or it has no f16.
   */
  constructor(memory: Memory, config: ModelConfig, options: TensorOptions = {}) {
    const { precision = 'f32', variants, trainable = true, weightType = 'f32', matrixType = weightType } = options;
    this.config = validateModelConfig(config);
    if (precision === 'f16' && !memory.adapter.features.includes('shader-f16')) {
      throw new UserError(`the adapter '${memory.adapter.name}' has no f16 (shader-f16); use precision f32`);
    }
    this.precision = precision;
    this.trainable = trainable;
    this.variants = variants ?? new VariantTable(memory.adapter);
    this.specs = parameterSpecs(config);
    this.groups = parameterGroups(config);
    this.#places = placesOf(this.groups);
    this.#memory = memory;
    // matrices come first: their halves are in the same places, and parameters that decay alike stand together
    const matrices = this.groups.filter(({ decay }) => decay);
    const norms = this.groups.filter(({ decay }) => !decay);
    const isStored = matrixType !== 'f32';
    const odd = isStored && this.specs.find(({ decay, shape }) => decay && sizeOf(shape) % 2 !== 0);
    if (odd) {
      throw new UserError(
        `'${odd.name}' ${showShape(odd.shape)} has an odd number of elements, which ${matrixType} has no place for: ` +
          'use weightType f32',
      );
    }
    const arenas: Arena[] = [];
    const arena = (...made: ConstructorParameters<typeof Arena>) => {
      arenas.push(new Arena(...made));
      return arenas.at(-1)!;
    };
    try {
      this.weights = arena(memory, 'weight', isStored ? norms : [...matrices, ...norms]);
      this.stored = arena(memory, 'weight', isStored ? matrices : [], matrixType);
      this.halves = arena(memory, 'f16', precision === 'f16' && matrixType !== 'f16' ? matrices : [], 'f16');
    } catch (error) {
      for (const made of arenas) made.destroy();
      throw error;
    }
  }

  weight(group: string): Tensor {
    return this.arenaOf(group).tensor(group);
  }

  /**
   * Returns the arena that holds a group's values.
   * @internal
   */
  protected arenaOf(group: string): Arena {
    return this.stored.has(group) ? this.stored : this.weights;
  }

  matrix(group: string): Tensor {
    return this.halves.has(group) ? this.halves.tensor(group) : this.weight(group);
  }

  /** Returns where a parameter is. @throws Error when the model has none of that name. */
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
    for (const arena of [this.weights, this.stored, this.halves]) arena.destroy();
    for (const { buffer } of this.#tables.values()) buffer!.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** A model with its weights on a device. Free them with `destroy`. */
export class Model extends ModelTensors {
  readonly device: Device;
  #destroyed = false;

  private constructor(device: Device, config: ModelConfig, options: TensorOptions) {
    super(device, config, options);
    this.device = device;
  }

  /**
   * Makes a model with values from `source`.
   * @throws UserError when the configuration is not sound, a weight exceeds the adapter's limits, or the adapter has no
   * f16.
   */
  static async create(
    device: Device,
    config: ModelConfig,
    source: ParameterSource,
    options: TensorOptions = {},
  ): Promise<Model> {
    const model = new Model(device, config, options);
    try {
      for (const spec of model.specs) {
        const values = await source(spec);
        const { group, first } = model.place(spec.name);
        const tensor = model.weight(group);
        const { dtype } = tensor;
        const { buffer, offsetBytes, elementBytes } = rangeOfPart(tensor, first);
        let given = 0;
        for (const part of ArrayBuffer.isView(values) ? [values] : values) {
          const piece = dtype === 'bf16' && part instanceof Float32Array ? bfloatsOf(part) : part;
          if (piece.BYTES_PER_ELEMENT !== elementBytes) {
            throw new Error(
              `'${spec.name}' takes ${elementBytes} bytes a value, and was given ${piece.BYTES_PER_ELEMENT}`,
            );
          }
          device.write(buffer, piece, offsetBytes + elementBytes * given);
          given += piece.length;
        }
        if (given !== sizeOf(spec.shape)) {
          throw new Error(`'${spec.name}' ${showShape(spec.shape)} was given ${given} values`);
        }
      }
      await model.fillHalves();
    } catch (error) {
      model.destroy();
      throw error;
    }
    return model;
  }

  /**
   * Makes the f16 copies of weights that were written anew.
   * @internal
   */
  async fillHalves(): Promise<void> {
    const stretches = this.halves.stretches(() => true);
    if (stretches.length === 0) return;
    const graph = new Graph();
    for (const names of stretches) {
      copyInto(graph, this.arenaOf(names[0]!).span(names), this.halves.span(names));
    }
    const copies = await plan(this.device, graph, { variants: this.variants });
    this.device.submit(copies.commands);
    copies.destroy();
  }

  /** Checks that the model is there. @throws UserError when it was destroyed. */
  check(): void {
    if (this.#destroyed) throw new UserError('the model was destroyed; make or load it again, or destroy it later');
  }

  override destroy(): void {
    this.#destroyed = true;
    super.destroy();
  }

  /** Returns a parameter's values in f32, by Hugging Face name, after everything submitted so far. */
  async read(name: string): Promise<Float32Array> {
    return this.readPart(name, group => this.weight(group));
  }

  /** Returns in f32 a parameter's part of some tensor of its group's shape, for instance of its gradient. */
  async readPart(name: string, tensorOf: (group: string) => Tensor): Promise<Float32Array> {
    this.check();
    const { group, first, count } = this.place(name);
    const tensor = tensorOf(group);
    const { buffer, offsetBytes, elementBytes } = rangeOfPart(tensor, first);
    const bytes = await this.device.read(buffer, offsetBytes, elementBytes * count);
    return floatsOf(bytes, tensor.dtype);
  }

  /** Overwrites a parameter's part of some f32 tensor of its group's shape. */
  writePart(name: string, tensorOf: (group: string) => Tensor, values: Float32Array): void {
    const { group, first } = this.place(name);
    const tensor = tensorOf(group);
    if (tensor.dtype !== 'f32') throw new Error(`'${tensor.name}' is ${tensor.dtype} and cannot be written f32 values`);
    const { buffer, offsetBytes } = rangeOfPart(tensor, first);
    this.device.write(buffer, values, offsetBytes);
  }
}

/** Returns where the element `first` of a persistent tensor is. */
const rangeOfPart = ({ buffer, offsetBytes = 0, dtype }: Tensor, first: number) => ({
  buffer: buffer!,
  offsetBytes: offsetBytes + BYTES[dtype] * first,
  elementBytes: BYTES[dtype],
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
