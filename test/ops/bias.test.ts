/** Biases through the graph that training uses: both passes, whole and beyond a binding. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { addBiasCase, columnSumsCase } from '../../src/cases/bias.js';
import { openDevice } from '../../src/gpu/open-device.js';
import type { StoredType } from '../../src/numerics/inputs.js';
import { addBias } from '../../src/ops/bias.js';
import { caseInput, caseParameter, expectOutputs } from '../support/cases.js';
import { backwardFrom, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

async function check(device = context.device, [rows, columns]: [number, number], type: StoredType = 'f32') {
  const [forward, sums] = [addBiasCase({ rows, columns, type }), columnSumsCase({ rows, columns, type })];
  const graph = new Graph();
  const x = caseParameter(device, forward, 'x', [rows, columns]);
  const bias = caseParameter(device, forward, 'bias', [columns]);
  const y = addBias(graph, x, bias);
  backwardFrom(graph, y, caseInput(device, sums, 'values', [rows, columns]));
  const [actual, dx, dbias] = await run(device, graph, [y, x.gradient!, bias.gradient!]);
  expectOutputs(forward, { x: actual! });
  expect(dx).toEqual(Float32Array.from(sums.inputs.values!.values));
  expectOutputs(sums, { total: dbias! }, { total: new Float64Array(columns) });
  return { actual, dbias };
}

// both sides of a part's edge (128 rows) and of a workgroup's columns
test.each([
  [65, 30],
  [128, 64],
  [300, 129],
])('R %i N %i, in f32 and f16', async (...size) => {
  await check(context.device, size);
  if (context.device.adapter.features.includes('shader-f16')) await check(context.device, size, 'f16');
});

test('beyond a binding the bits are the same, and without a gradient nothing is summed', async () => {
  const size: [number, number] = [300, 129];
  const device = await openDevice({ checked: true, limits: { maxStorageBufferBindingSize: 4 * 129 * 150 } });
  expect(await check(device, size)).toEqual(await check(context.device, size));
  const graph = new Graph();
  const x = parameter(device, 'x', size, uniform('x', 300 * 129));
  const y = addBias(graph, x, input(device, 'bias', [129], uniform('bias', 129)));
  backwardFrom(graph, y, y);
  expect(graph.nodes.filter(({ op }) => /gradient|sum/.test(op))).toEqual([]);
  device.close();
});
