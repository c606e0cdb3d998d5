/** RMSNorm over heads, forward and backward, against float64, through the graph that training uses. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { openDevice } from '../../src/gpu/device.js';
import * as bounds from '../../src/numerics/bounds.js';
import { headNormCases } from '../../src/numerics/cases.js';
import type { StoredType } from '../../src/numerics/inputs.js';
import * as reference from '../../src/numerics/reference.js';
import { headNorm } from '../../src/ops/head-norm.js';
import {
  backwardFrom,
  expectWithin,
  halfUniform,
  input,
  parameter,
  parts,
  run,
  uniform,
  useDevice,
} from '../support/gpu.js';

const context = useDevice();
const EPS = 1e-6;

async function check(device = context.device, [R, H, KV, D]: (typeof headNormCases)[number], type: StoredType = 'f32') {
  const values = type === 'f16' ? halfUniform : uniform;
  const width = (H + 2 * KV) * D;
  const [qkv, dy] = [values('qkv', R * width), values('dy', R * width)];
  const weights = { query: uniform('query', D), key: uniform('key', D) };
  const graph = new Graph();
  const X = parameter(device, 'qkv', [R, width], qkv, type);
  const query = parameter(device, 'query', [D], weights.query);
  const key = parameter(device, 'key', [D], weights.key);
  const y = headNorm(graph, X, { query, key }, { H, KV, D }, EPS);
  backwardFrom(graph, y, input(device, 'dy', [R, width], dy, type));
  const results = await run(device, graph, [y, X.gradient!, query.gradient!, key.gradient!, X]);
  const [actual, dx, dquery, dkey, untouched] = results as [Float32Array, ...Float32Array[]];
  expect(untouched, 'an input that is still needed is copied first').toEqual(Float32Array.from(qkv));
  const widths = [H, KV, KV].map(heads => heads * D);
  const [inputs, arriving] = [qkv, dy].map(values => parts(values, R, widths)) as [Float64Array[], Float64Array[]];
  const [outputs, leaving] = [actual, dx!].map(values => parts(values, R, widths)) as [Float32Array[], Float32Array[]];
  for (const [i, [weight, dweight]] of [[weights.query, dquery!] as const, [weights.key, dkey!] as const].entries()) {
    const rows = inputs[i]!.length / D;
    const expected = reference.rmsnorm(inputs[i]!, weight, rows, D, Math.fround(EPS));
    const gradient = reference.rmsnormBackward(inputs[i]!, weight, expected.rstd, arriving[i]!, rows, D);
    const saved = { x: inputs[i]!, weight, rstd: expected.rstd, dy: arriving[i]! };
    const [yBound, dxBound] = [
      bounds.rmsnormBound(expected.y, weight, expected.rstd, D),
      bounds.rmsnormInputBound(saved, rows, D),
    ];
    expectWithin(outputs[i]!, expected.y, bounds.storedBound(yBound, expected.y, type), `y ${i}`);
    expectWithin(leaving[i]!, gradient.dx, bounds.storedBound(dxBound, gradient.dx, type), `dx ${i}`);
    expectWithin(dweight, gradient.dweight, bounds.rmsnormWeightBound(saved, rows, D), `dweight ${i}`);
  }
  expect(outputs[2], 'values').toEqual(Float32Array.from(inputs[2]!));
  expect(leaving[2], 'their gradient').toEqual(Float32Array.from(arriving[2]!));
  return results;
}

test.each(headNormCases)('R %i, %i heads to %i of %i', async (...size) => {
  await check(context.device, size);
});

test.each(headNormCases)('R %i, %i heads to %i of %i in f16', async (...size) => {
  if (context.device.adapter.features.includes('shader-f16')) await check(context.device, size, 'f16');
});

test('beyond a binding the bits are the same', async () => {
  const size = [130, 3, 1, 64] as const;
  const device = await openDevice({ checked: true, limits: { maxStorageBufferBindingSize: 4 * 5 * 64 * 100 } });
  expect(await check(device, size)).toEqual(await check(context.device, size));
  device.close();
});

test('without gradients of the weights nothing is summed', () => {
  const { device } = context;
  const graph = new Graph();
  const X = parameter(device, 'qkv', [8, 30], uniform('qkv', 240));
  const weight = input(device, 'weight', [10], uniform('weight', 10));
  const y = headNorm(graph, X, { query: weight, key: weight }, { H: 1, KV: 1, D: 10 }, EPS);
  backwardFrom(graph, y, y);
  const node = graph.nodes.find(({ op }) => op === 'head_norm_backward')!;
  expect([node.results.length, node.updates]).toEqual([1, []]);
});
