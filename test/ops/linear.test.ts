/** Linear layers through the graph that training uses: the product with a residual, and the gradients of all three. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { MATMUL_TYPES, matmulCase } from '../../src/cases/matmul.js';
import { linear } from '../../src/ops/linear.js';
import { caseInput, caseParameter, expectOutputs } from '../support/cases.js';
import { backwardFrom, run, useDevice } from '../support/gpu.js';

const context = useDevice();
const types = MATMUL_TYPES[0];

test.each([
  [3, 5, 7],
  [37, 250, 96],
])('R %i N %i K %i, with a residual', async (R, N, K) => {
  const { device } = context;
  const forward = matmulCase({ form: 'NT', M: R, N, K, types, epilogue: 'addend' });
  const ofX = matmulCase({ form: 'NN', M: R, N: K, K: N, types });
  const ofWeight = matmulCase({ form: 'TN', M: N, N: K, K: R, types, epilogue: 'accumulate' });
  const graph = new Graph();
  const x = caseParameter(device, forward, 'a', [R, K]);
  const weight = caseParameter(device, forward, 'b', [N, K]);
  const residual = caseParameter(device, forward, 'addend', [R, N]);
  const y = linear(graph, x, weight, { residual });
  backwardFrom(graph, y, caseInput(device, ofX, 'a', [R, N]));
  const [actual, dx, dweight, dresidual] = await run(device, graph, [
    y,
    ...[x, weight, residual].map(({ gradient }) => gradient!),
  ]);
  const [X, W, dy] = [forward.inputs.a!.values, forward.inputs.b!.values, ofX.inputs.a!.values];
  expectOutputs(forward, { c: actual! });
  expectOutputs(ofX, { c: dx! }, { b: W });
  expectOutputs(ofWeight, { c: dweight! }, { a: dy, b: X, c: new Float64Array(N * K) });
  expect(dresidual).toEqual(Float32Array.from(dy));
});
