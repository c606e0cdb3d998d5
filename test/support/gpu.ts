/** Runs ops on the device under test, and makes inputs for them. */
import { afterAll, beforeAll, expect } from 'vitest';
import { backward } from '../../src/autograd/backward.js';
import type { Graph } from '../../src/autograd/graph.js';
import { plan } from '../../src/autograd/plan.js';
import { persistent, type Shape, sizeOf, type Tensor } from '../../src/autograd/tensor.js';
import { type Device, openDevice } from '../../src/gpu/device.js';
import { compare } from '../../src/numerics/compare.js';
import { Random } from '../../src/random.js';

/** The device of a test file: opened before its tests, with Dawn's own bounds checks, and checked after them. */
export function useDevice(): { readonly device: Device } {
  const holder: { device: Device } = { device: undefined as unknown as Device };
  beforeAll(async () => {
    holder.device = await openDevice({ checked: true });
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
  dtype: 'f32' | 'u32' = 'f32',
): Tensor {
  const buffer = device.createBuffer(name, 4 * sizeOf(shape));
  device.write(buffer, dtype === 'f32' ? Float32Array.from(values) : Uint32Array.from(values));
  return persistent(name, shape, buffer, dtype);
}

/** An input whose gradient is wanted. */
export function parameter(device: Device, name: string, shape: Shape, values: ArrayLike<number>): Tensor {
  return {
    ...input(device, name, shape, values),
    gradient: input(device, `d${name}`, shape, new Float64Array(sizeOf(shape))),
  };
}

/** Starts a backward walk at `y` with gradient `dy`. */
export function backwardFrom(graph: Graph, y: Tensor, dy: Tensor): void {
  const [root] = graph.add({
    op: 'root',
    inputs: [y],
    outputs: [{ shape: [1] }],
    launch: () => [],
    backward: () => [dy],
  });
  backward(graph, root!);
}

/** Runs a graph once and reads tensors. */
export async function run(device: Device, graph: Graph, tensors: readonly Tensor[]): Promise<Float32Array[]> {
  const planned = await plan(device, graph, { keep: tensors.filter(tensor => !tensor.buffer) });
  device.submit(planned.commands);
  const values: Float32Array[] = [];
  for (const tensor of tensors) {
    values.push(new Float32Array(await device.read(planned.bufferOf(tensor), 0, 4 * sizeOf(tensor.shape))));
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
