/** RMSNorm, forward and backward, against float64, through the graph that training uses. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import * as bounds from '../../src/numerics/bounds.js';
import { rowCases } from '../../src/numerics/cases.js';
import * as reference from '../../src/numerics/reference.js';
import { linear } from '../../src/ops/linear.js';
import { rmsnorm } from '../../src/ops/rmsnorm.js';
import { backwardFrom, expectWithin, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

describe('rmsnorm', () => {
  test.each(rowCases)('$name', async ({ name, shape: { rows: R, columns: C } }) => {
    const { device } = context;
    const [x, weight, dy] = [uniform(`x ${name}`, R * C), uniform(`w ${name}`, C), uniform(`dy ${name}`, R * C)];
    const graph = new Graph();
    const X = parameter(device, 'x', [R, C], x);
    const W = parameter(device, 'weight', [C], weight);
    const y = rmsnorm(graph, X, W, 1e-5);
    backwardFrom(graph, y, input(device, 'dy', [R, C], dy));
    const [actual, dx, dweight] = await run(device, graph, [y, X.gradient!, W.gradient!]);
    const expected = reference.rmsnorm(x, weight, R, C, Math.fround(1e-5));
    const gradient = reference.rmsnormBackward(x, weight, expected.rstd, dy, R, C);
    const saved = { x, weight, rstd: expected.rstd, dy };
    expectWithin(actual!, expected.y, bounds.rmsnormBound(expected.y, weight, expected.rstd, C), 'y');
    expectWithin(dx!, gradient.dx, bounds.rmsnormInputBound(saved, R, C), 'dx');
    expectWithin(dweight!, gradient.dweight, bounds.rmsnormWeightBound(saved, R, C), 'dweight');
  });

  test('takes in the gradient that x has from a residual connection', async () => {
    const { device } = context;
    const [R, C] = [5, 19];
    const [x, weight, dy] = [uniform('x', R * C), uniform('w', C), uniform('dy', R * C)];
    const eye = Float64Array.from({ length: C * C }, (_, i) => (i % (C + 1) === 0 ? 1 : 0));
    const graph = new Graph();
    const X = parameter(device, 'x', [R, C], x);
    const y = linear(
      graph,
      rmsnorm(graph, X, input(device, 'w', [C], weight), 1e-5),
      input(device, 'eye', [C, C], eye),
      { residual: X },
    );
    backwardFrom(graph, y, input(device, 'dy', [R, C], dy));
    const [dx] = await run(device, graph, [X.gradient!]);
    const { rstd } = reference.rmsnorm(x, weight, R, C, Math.fround(1e-5));
    const expected = reference.rmsnormBackward(x, weight, rstd, dy, R, C).dx.map((value, i) => value + dy[i]!);
    expectWithin(dx!, expected, bounds.rmsnormInputBound({ x, weight, rstd, dy }, R, C, dy), 'dx');
    expect(graph.nodes.filter(({ op }) => op === 'add')).toHaveLength(0);
  });
});
