/** Conversion of stored weights, whole and in windows. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { stored } from '../../src/numerics/inputs.js';
import { cast, copyInto } from '../../src/ops/cast.js';
import { backwardFrom, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

test.each([
  ['bf16', 'f32'],
  ['bf16', 'f16'],
  ['f16', 'f32'],
  ['f32', 'f16'],
] as const)('%s to %s', async (from, to) => {
  const { device } = context;
  if ((from === 'f16' || to === 'f16') && !device.adapter.features.includes('shader-f16')) return;
  const count = 4099;
  const values = stored(uniform('x', count), from);
  const limits = { ...device.adapter.limits, maxStorageBufferBindingSize: 2048 };
  for (const adapter of [device.adapter, { ...device.adapter, limits }]) {
    const graph = new Graph();
    const y = input(device, 'y', [count], new Float64Array(count), to);
    copyInto(graph, input(device, 'x', [count], values, from), y);
    const [actual] = await run(device, graph, [y], new VariantTable(adapter));
    expect(actual).toEqual(Float32Array.from(stored(values, to)));
  }
});

test('a gradient goes back in the type of what was rounded', async () => {
  const { device } = context;
  if (!device.adapter.features.includes('shader-f16')) return;
  const [values, gradient] = [uniform('x', 99), stored(uniform('dy', 99), 'f16')];
  const graph = new Graph();
  const x = parameter(device, 'x', [99], values);
  expect(cast(graph, x, 'f32')).toBe(x);
  const y = cast(graph, x, 'f16');
  backwardFrom(graph, y, input(device, 'dy', [99], gradient, 'f16'));
  const [rounded, dx] = await run(device, graph, [y, x.gradient!]);
  expect(rounded).toEqual(Float32Array.from(stored(values, 'f16')));
  expect(dx).toEqual(Float32Array.from(gradient));
});
