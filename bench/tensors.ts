/** Inputs of the benchmark: the same values in every run and for every engine. */
import { bytesOf, type DType, persistent, type Shape, sizeOf, type Tensor } from '../src/autograd/tensor.js';
import type { Device } from '../src/gpu/device.js';
import { packed } from '../src/kernels/element-type.js';
import { Random } from '../src/random.js';
import { latest } from './latest.js';

/** As many as a work has operands. */
const drawn = latest<Float32Array<ArrayBuffer>>(4);

/** Uniform values in [low, high), from a random stream of the name's own; not to be written to. */
export function uniform(name: string, count: number, low = -0.5, high = 0.5): Float32Array<ArrayBuffer> {
  return drawn(`${name} ${count} ${low} ${high}`, () => {
    const random = new Random(0, name);
    return Float32Array.from({ length: count }, () => low + (high - low) * random.uniform());
  });
}

/**
 * A tensor in a buffer of its own, with values from `fill` (zeros without).
 * @throws UserError when it exceeds the adapter's limits, before any value is made.
 */
export function place(
  device: Device,
  name: string,
  shape: Shape,
  fill?: (name: string, count: number) => Float32Array | Uint32Array,
  dtype: DType = 'f32',
): Tensor {
  const buffer = device.createBuffer(name, bytesOf({ shape, dtype }));
  try {
    if (fill) {
      const values = fill(name, sizeOf(shape)); // words are taken as they are, a schedule of f32 among them
      device.write(buffer, dtype === 'f16' ? packed(values, dtype) : values);
    }
  } catch (error) {
    buffer.destroy();
    throw error;
  }
  return persistent(name, shape, buffer, dtype);
}
