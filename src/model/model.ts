/** A model's weights on a device. */
import { Graph } from '../autograd/graph.js';
import { plan } from '../autograd/plan.js';
import { type DType, showShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import { bfloatsOf } from '../bfloat.js';
import { UserError } from '../errors.js';
import type { Device } from '../gpu/device.js';
import { halvesOf } from '../half.js';
import { BYTES, floatsOf } from '../kernels/element-type.js';
import { copyInto } from '../ops/cast.js';
import type { ModelConfig } from './config.js';
import type { ParameterSpec } from './parameters.js';
import { ModelTensors, type TensorOptions } from './tensors.js';

/** Values in f32, or the bits of values in a two-byte type. */
export type Values = Float32Array | Uint16Array;
/**
 * Gives the values of a parameter, by its name and shape: all at once, or in pieces. A piece is done with when the next
 * one is asked for.
 */
export type ParameterSource = (spec: ParameterSpec) => Values | Promise<Values> | Iterable<Values>;

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
          const piece = part instanceof Float32Array ? storedAs(part, dtype) : part;
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
    const stretches = this.halves.stretches((a, b) => this.arenaOf(a) === this.arenaOf(b));
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

  /**
   * Returns a parameter's values in f32, by Hugging Face name, after everything submitted so far.
   * @throws Error when the parameter takes more than 64 MiB, and something is written or run before it is read.
   */
  async read(name: string): Promise<Float32Array> {
    return this.readPart(name, group => this.weight(group));
  }

  /** Returns in f32 a parameter's part of some tensor of its group's shape, for instance of its gradient. */
  async readPart(name: string, tensorOf: (group: string) => Tensor): Promise<Float32Array> {
    this.check();
    const { group, first, count } = this.place(name);
    const tensor = tensorOf(group);
    const { buffer, offsetBytes, elementBytes } = rangeOfPart(tensor, first);
    const before = offsetBytes % 4; // a part of an f16 tensor may begin and end in the middle of a word
    const sizeBytes = 4 * Math.ceil((before + elementBytes * count) / 4);
    const bytes = await this.device.readInPieces({ buffer, offsetBytes: offsetBytes - before, sizeBytes });
    const values = floatsOf(bytes, tensor.dtype);
    return values.length === count ? values : values.slice(before / elementBytes, before / elementBytes + count);
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

/** Returns f32 values as a tensor of the type holds them. */
const storedAs = (values: Float32Array, dtype: DType): Values => {
  if (dtype === 'bf16') return bfloatsOf(values);
  return dtype === 'f16' ? halvesOf(values) : values;
};

/** Returns where the element `first` of a persistent tensor is. */
const rangeOfPart = ({ buffer, offsetBytes = 0, dtype }: Tensor, first: number) => ({
  buffer: buffer!,
  offsetBytes: offsetBytes + BYTES[dtype] * first,
  elementBytes: BYTES[dtype],
});
