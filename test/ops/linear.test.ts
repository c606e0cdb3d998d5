/** Linear layers, forward and backward, against float64, through the graph that training uses. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import * as bounds from '../../src/numerics/bounds.js';
import * as reference from '../../src/numerics/reference.js';
import { linear } from '../../src/ops/linear.js';
import { backwardFrom, expectWithin, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

describe('linear', () => {
  test.each([
    [1, 1, 1],
    [3, 5, 7],
    [37, 250, 96],
    [65, 33, 129],
  ])('R %i N %i K %i, with a residual', async (R, N, K) => {
    const { device } = context;
    const [x, w, residual, dy] = [uniform('x', R * K), uniform('w', N * K), uniform('r', R * N), uniform('dy', R * N)];
    const graph = new Graph();
    const X = parameter(device, 'x', [R, K], x);
    const W = parameter(device, 'w', [N, K], w);
    const residualTensor = parameter(device, 'residual', [R, N], residual);
    const y = linear(graph, X, W, { residual: residualTensor });
    backwardFrom(graph, y, input(device, 'dy', [R, N], dy));
    const values = await run(device, graph, [y, X.gradient!, W.gradient!, residualTensor.gradient!]);
    const forward = { M: R, N, K, transposeA: false, transposeB: true };
    const dxShape = { M: R, N: K, K: N, transposeA: false, transposeB: false };
    const dwShape = { M: N, N: K, K: R, transposeA: true, transposeB: false };
    const y64 = reference.matmul(x, w, forward).map((value, i) => value + residual[i]!);
    expectWithin(values[0]!, y64, bounds.matmulBound(reference.matmul(x, w, forward, true), K, residual), 'y');
    expectWithin(
      values[1]!,
      reference.matmul(dy, w, dxShape),
      bounds.matmulBound(reference.matmul(dy, w, dxShape, true), N + 1),
      'dx',
    );
    expectWithin(
      values[2]!,
      reference.matmul(dy, x, dwShape),
      bounds.matmulBound(reference.matmul(dy, x, dwShape, true), R + 1),
      'dw',
    );
    expect(values[3]).toEqual(Float32Array.from(dy));
  });
});
