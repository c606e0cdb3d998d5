/** RMSNorm through the graph that training uses: both passes, and a residual connection's gradient taken in. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { rmsnormBackwardCase, rmsnormForwardCase } from '../../src/cases/rmsnorm.js';
import { linear } from '../../src/ops/linear.js';
import { rmsnorm } from '../../src/ops/rmsnorm.js';
import { caseInput, caseParameter, expectOutputs } from '../support/cases.js';
import { backwardFrom, input, run, useDevice } from '../support/gpu.js';

const context = useDevice();

test.each([
  [1, 1],
  [65, 127],
])('%i x %i', async (rows, columns) => {
  const { device } = context;
  const given = { rows, columns, type: 'f32' } as const;
  const [forward, backward] = [rmsnormForwardCase(given), rmsnormBackwardCase(given)];
  const graph = new Graph();
  const x = caseParameter(device, forward, 'x', [rows, columns]);
  const weight = caseParameter(device, forward, 'weight', [columns]);
  const y = rmsnorm(graph, x, weight, 1e-5);
  backwardFrom(graph, y, caseInput(device, backward, 'dy', [rows, columns]));
  const [actual, dx, total] = await run(device, graph, [y, x.gradient!, weight.gradient!]);
  expectOutputs(forward, { y: actual! });
  expectOutputs(backward, { dx: dx!, total: total! }, { total: new Float64Array(columns) });
});

test('takes in the gradient that x has from a residual connection', async () => {
  const { device } = context;
  const [rows, columns] = [5, 19];
  const backward = rmsnormBackwardCase({ rows, columns, type: 'f32', hasAddend: true, hasTotal: false });
  const eye = Float64Array.from({ length: columns * columns }, (_, i) => (i % (columns + 1) === 0 ? 1 : 0));
  const graph = new Graph();
  const x = caseParameter(device, backward, 'x', [rows, columns]);
  const normed = rmsnorm(graph, x, caseInput(device, backward, 'weight', [columns]), 1e-5);
  const y = linear(graph, normed, input(device, 'eye', [columns, columns], eye), { residual: x });
  backwardFrom(graph, y, caseInput(device, backward, 'dy', [rows, columns]));
  const [dx] = await run(device, graph, [x.gradient!]);
  expectOutputs(backward, { dx: dx! }, { addend: backward.inputs.dy!.values });
  expect(graph.nodes.filter(({ op }) => op === 'add')).toHaveLength(0);
});
