/** Biases, forward and backward, against float64, through the graph that training uses. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { openDevice } from '../../src/gpu/device.js';
import * as bounds from '../../src/numerics/bounds.js';
import type { StoredType } from '../../src/numerics/inputs.js';
import * as reference from '../../src/numerics/reference.js';
import { addBias } from '../../src/ops/bias.js';
import { backwardFrom, expectWithin, halfUniform, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

/** Both sides of a part's edge (128 rows) and of a workgroup's columns. */
const sizes: [R: number, N: number][] = [
  [1, 1],
  [7, 33],
  [65, 30],
  [128, 64],
  [300, 129],
];

async function check(device = context.device, [R, N]: [R: number, N: number], type: StoredType = 'f32') {
  const values = type === 'f16' ? halfUniform : uniform;
  const [x, dy, bias] = [values('x', R * N), values('dy', R * N), uniform('bias', N)];
  const graph = new Graph();
  const X = parameter(device, 'x', [R, N], x, type);
  const B = parameter(device, 'bias', [N], bias);
  const y = addBias(graph, X, B);
  backwardFrom(graph, y, input(device, 'dy', [R, N], dy, type));
  const [actual, dx, dbias] = await run(device, graph, [y, X.gradient!, B.gradient!]);
  const expected = reference.addBias(x, bias);
  expectWithin(actual!, expected, bounds.storedBound(bounds.biasBound(x, bias), expected, type), 'y');
  expect(dx).toEqual(Float32Array.from(dy));
  const magnitudes = reference.columnSums(dy.map(Math.abs), N);
  expectWithin(dbias!, reference.columnSums(dy, N), bounds.columnSumBound(magnitudes, R), 'dbias');
  return { actual, dbias };
}

test.each(sizes)('R %i N %i', async (...size) => {
  await check(context.device, size);
});

test.each(sizes)('R %i N %i in f16', async (...size) => {
  if (context.device.adapter.features.includes('shader-f16')) await check(context.device, size, 'f16');
});

test('beyond a binding the bits are the same, and without a gradient nothing is summed', async () => {
  const size: [number, number] = [300, 129];
  const device = await openDevice({ checked: true, limits: { maxStorageBufferBindingSize: 4 * 129 * 150 } });
  expect(await check(device, size)).toEqual(await check(context.device, size));
  const graph = new Graph();
  const X = parameter(device, 'x', size, uniform('x', 300 * 129));
  const y = addBias(graph, X, input(device, 'bias', [129], uniform('bias', 129)));
  backwardFrom(graph, y, y);
  expect(graph.nodes.map(({ op }) => op)).toEqual(['add_bias', 'root', 'accumulate']);
  device.close();
});
