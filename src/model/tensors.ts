/** A model's tensors on a device, without values yet. */
import { Arena } from '../autograd/arena.js';
import { persistent, showShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import type { Memory } from '../gpu/memory.js';
import { VariantTable } from '../kernels/variants.js';
import { ropeTable } from '../ops/rope.js';
import { type ModelConfig, validateModelConfig } from './config.js';
import { adapterGroups, adaptersOf, type LoraSettings, type PlacedAdapter } from './lora.js';
import { type ParameterGroup, type ParameterSpec, parameterGroups, parameterSpecs } from './parameters.js';

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
   * What matrices are kept in, by default `weightType` of a model that is trained, else f32. A two-byte type is allowed
   * only where every matrix has an even number of elements.
   */
  readonly matrixType?: MatrixType | undefined;
  /** The adapters beside the matrices, which alone are trained then; they are kept in f32. */
  readonly lora?: LoraSettings | undefined;
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
  /** The adapters by the group of parameters that they are beside, of a model that has any. */
  readonly adapters?: ReadonlyMap<string, readonly PlacedAdapter[]> | undefined;
  /** Returns the rotation table [T, headDim/2, 2] for sequences of T tokens; `local`: of layers within the window. */
  ropeTable(T: number, local: boolean): Tensor;
}

/** The tensors of a model in buffers of `memory`, without values yet. Free them with `destroy`. */
export class ModelTensors implements ForwardTensors {
  readonly config: ModelConfig;
  readonly precision: Precision;
  readonly trainable: boolean;
  readonly variants: VariantTable;
  readonly lora: LoraSettings | undefined;
  /**
   * The adapters by the group of parameters that they are beside.
   * @internal
   */
  readonly adapters: ReadonlyMap<string, readonly PlacedAdapter[]> | undefined;
  /** The parameters by Hugging Face name, and below, the groups that are kept together on the device. */
  readonly specs: readonly ParameterSpec[];
  /** The parameters that a checkpoint has: those of the adapters alone, where there are any. */
  readonly saved: readonly ParameterSpec[];
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
  readonly #tables = new Map<string, Tensor>();

  /**
   * Makes the tensors.
   * @throws UserError when the configuration is not sound, a weight exceeds the adapter's limits, or it has no f16.
   */
  constructor(memory: Memory, config: ModelConfig, options: TensorOptions = {}) {
    const { precision = 'f32', variants, trainable = true, weightType = 'f32', lora } = options;
    const { matrixType = trainable ? weightType : 'f32' } = options;
    this.config = validateModelConfig(config);
    if (precision === 'f16' && !memory.adapter.features.includes('shader-f16')) {
      throw new UserError(`the adapter '${memory.adapter.name}' has no f16 (shader-f16); use precision f32`);
    }
    this.precision = precision;
    this.trainable = trainable;
    this.variants = variants ?? new VariantTable(memory.adapter);
    this.lora = lora;
    this.adapters = lora && adaptersOf(config, lora);
    const own = parameterGroups(config);
    const adapters = lora ? adapterGroups(config, lora) : [];
    const ofAdapters = adapters.flatMap(({ parts }) => parts);
    this.specs = [...parameterSpecs(config), ...ofAdapters];
    this.saved = lora ? ofAdapters : this.specs;
    this.groups = [...own, ...adapters];
    this.#places = placesOf(this.groups);
    this.#memory = memory;
    // matrices come first: their halves are in the same places, and parameters that decay alike stand together
    const matrices = own.filter(({ decay }) => decay);
    const norms = own.filter(({ decay }) => !decay);
    const isStored = matrixType !== 'f32';
    const odd = isStored && parameterSpecs(config).find(({ decay, shape }) => decay && sizeOf(shape) % 2 !== 0);
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
      const halved = [...(matrixType === 'f16' ? [] : matrices), ...adapters];
      this.weights = arena(memory, 'weight', [...(isStored ? [] : matrices), ...adapters, ...norms]);
      this.stored = arena(memory, 'weight', isStored ? matrices : [], matrixType);
      this.halves = arena(memory, 'f16', precision === 'f16' ? halved : [], 'f16');
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

  ropeTable(T: number, local: boolean): Tensor {
    const { headDim, ropeTheta, ropeScaling, ropeLocalBaseFreq } = this.config;
    const name = `rope table ${T}${local ? ' within the window' : ''}`;
    let table = this.#tables.get(name);
    if (!table) {
      const shape = [T, headDim / 2, 2];
      const buffer = this.#memory.createBuffer(name, 4 * sizeOf(shape));
      table = persistent(buffer.label, shape, buffer);
      if (this.#memory.holdsValues) {
        const values = local
          ? ropeTable(T, headDim, ropeLocalBaseFreq!)
          : ropeTable(T, headDim, ropeTheta, ropeScaling);
        this.#memory.write(buffer, values);
      }
      this.#tables.set(name, table);
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
