/** A tensor times a number, and its gradient. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { scale } from '../../src/ops/scale.js';
import { backwardFrom, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

test('both are the products, rounded once', async () => {
  const { device } = context;
  const [count, factor] = [1000, Math.sqrt(48)];
  const [x, dy] = [uniform('x', count), uniform('dy', count)];
  const graph = new Graph();
  const X = parameter(device, 'x', [20, 50], x);
  const y = scale(graph, X, factor);
  backwardFrom(graph, y, input(device, 'dy', [20, 50], dy));
  const [actual, dx] = await run(device, graph, [y, X.gradient!]);
  const times = (values: ArrayLike<number>) =>
    Float32Array.from(values, value => Math.fround(value) * Math.fround(factor));
  expect(actual).toEqual(times(x));
  expect(dx).toEqual(times(dy));
});
