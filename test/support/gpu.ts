/** Runs ops on the device under test, and makes inputs for them. */
import { afterAll, beforeAll, expect } from 'vitest';
import { backward } from '../../src/autograd/backward.js';
import type { Graph } from '../../src/autograd/graph.js';
import { plan } from '../../src/autograd/plan.js';
import { bytesOf, type DType, persistent, type Shape, sizeOf, type Tensor } from '../../src/autograd/tensor.js';
import type { Device } from '../../src/gpu/device.js';
import { type DeviceOptions, openDevice } from '../../src/gpu/open-device.js';
import { add } from '../../src/kernels/add.js';
import { floatsOf, packed } from '../../src/kernels/element-type.js';
import type { VariantTable } from '../../src/kernels/variants.js';
import { compare } from '../../src/numerics/compare.js';
import { stored } from '../../src/numerics/inputs.js';
import { Random } from '../../src/random.js';

export { apart as parts, sideBySide } from '../../src/numerics/side-by-side.js';

/**
 * The device of a test file: opened before its tests, by default with Dawn's own bounds checks, and checked after them.
 */
export function useDevice(options: DeviceOptions = { checked: true }): { readonly device: Device } {
  const holder: { device: Device } = { device: undefined as unknown as Device };
  beforeAll(async () => {
    holder.device = await openDevice(options);
  });
  afterAll(async () => {
    await holder.device.idle();
    holder.device.close();
  });
  return holder;
}

/** Values that a float32 holds, so that references and kernels start from the same numbers. */
export function uniform(label: string, count: number, low = -2, high = 2): Float64Array {
  const random = new Random(1, label);
  return Float64Array.from({ length: count }, () => Math.fround(low + (high - low) * random.uniform()));
}

export function input(
  device: Device,
  name: string,
  shape: Shape,
  values: ArrayLike<number>,
  dtype: DType = 'f32',
): Tensor {
  const buffer = device.createBuffer(name, bytesOf({ shape, dtype }));
  device.write(buffer, packed(values, dtype));
  return persistent(name, shape, buffer, dtype);
}

/** An input whose gradient is wanted. */
export function parameter(
  device: Device,
  name: string,
  shape: Shape,
  values: ArrayLike<number>,
  dtype: DType = 'f32',
): Tensor {
  return {
    ...input(device, name, shape, values, dtype),
    gradient: input(device, `d${name}`, shape, new Float64Array(sizeOf(shape))),
  };
}

/** a + b, with its gradient. */
export function sum(graph: Graph, a: Tensor, b: Tensor): Tensor {
  return graph.add({
    op: 'sum_of_two',
    inputs: [a, b],
    outputs: [{ shape: a.shape }],
    launch: (variants, bind, [y]) => add(variants, sizeOf(a.shape), { a: bind(a), b: bind(b), y: bind(y!) }),
    backward: ([dy]) => [dy, dy],
  })[0]!;
}

/** Starts a backward walk at `y` with gradient `dy`. */
export function backwardFrom(graph: Graph, y: Tensor, dy: Tensor): void {
  backward(graph, y, dy);
}

/** Values that a half holds. */
export function halfUniform(label: string, count: number, low = -2, high = 2): Float64Array {
  return stored(uniform(label, count, low, high), 'f16');
}

/** Runs a graph once and reads tensors. */
export async function run(
  device: Device,
  graph: Graph,
  tensors: readonly Tensor[],
  variants?: VariantTable,
): Promise<Float32Array[]> {
  const planned = await plan(device, graph, { keep: tensors.filter(tensor => !tensor.buffer), variants });
  device.submit(planned.commands);
  const values: Float32Array[] = [];
  for (const tensor of tensors) {
    const { buffer, offsetBytes } = planned.rangeOf(tensor);
    const bytes = await device.read(buffer, offsetBytes, bytesOf(tensor));
    const all = floatsOf(bytes, tensor.dtype);
    values.push(all.subarray(0, sizeOf(tensor.shape)));
  }
  planned.destroy();
  return values;
}

export function expectWithin(
  actual: Float32Array,
  reference: Float64Array,
  bound: Float64Array | number,
  what: string,
): void {
  const { passed, description } = compare(actual, reference, bound);
  expect(passed, `${what}: ${description}`).toBe(true);
}
