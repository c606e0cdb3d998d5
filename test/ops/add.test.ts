/** The sum of two tensors: in place of the second, with one gradient for both. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { add } from '../../src/ops/add.js';
import { backwardFrom, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

test('adds, leaves what is still needed as it was, and hands its gradient to both', async () => {
  const { device } = context;
  const shape = [7, 13];
  const [a, b, dy] = ['a', 'b', 'dy'].map(name => uniform(name, 91));
  const graph = new Graph();
  const [A, B] = [parameter(device, 'a', shape, a!), parameter(device, 'b', shape, b!)];
  const y = add(graph, A, B);
  backwardFrom(graph, y, input(device, 'dy', shape, dy!));
  const [sum, da, db, untouched] = await run(device, graph, [y, A.gradient!, B.gradient!, B]);
  const rounded = (values: ArrayLike<number>) => Float32Array.from(values);
  expect(sum).toEqual(rounded(rounded(a!).map((value, i) => value + Math.fround(b![i]!))));
  expect(da).toEqual(rounded(dy!));
  expect(db).toEqual(rounded(dy!));
  expect(untouched).toEqual(rounded(b!));
});

test('refuses tensors of two shapes', () => {
  const { device } = context;
  const [A, B] = [input(device, 'a', [2, 3], uniform('a', 6)), input(device, 'b', [3, 2], uniform('b', 6))];
  expect(() => add(new Graph(), A, B)).toThrow(/add/);
});
