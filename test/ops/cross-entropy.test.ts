/** What a case cannot say of cross-entropy: a target that counts for nothing, by hand. */
import { expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { crossEntropy, IGNORED_TARGET } from '../../src/kernels/cross-entropy.js';
import { input, run, useDevice } from '../support/gpu.js';

const context = useDevice();

test('rows with an ignored target have no loss and no gradient', async () => {
  const { device } = context;
  const graph = new Graph();
  const logits = input(device, 'logits', [2, 3], [1, 2, 3, 4, 5, 6]);
  const targets = input(device, 'targets', [2], [IGNORED_TARGET, 2], 'u32');
  const losses = input(device, 'losses', [2], [9, 9]);
  graph.add({
    op: 'cross_entropy',
    inputs: [targets],
    outputs: [],
    updates: [logits, losses],
    launch: (kernels, bind) =>
      crossEntropy(
        kernels,
        { rows: 2, columns: 3 },
        { scale: 1 },
        { targets: bind(targets), logits: bind(logits), losses: bind(losses) },
      ),
  });
  const [loss, gradient] = await run(device, graph, [losses, logits]);
  expect(loss![0]).toBe(0);
  expect(loss![1]).toBeCloseTo(Math.log(1 + Math.exp(-1) + Math.exp(-2)), 5);
  expect([...gradient!.subarray(0, 3)]).toEqual([0, 0, 0]);
  expect(gradient![3]).toBeGreaterThan(0);
});

test('a row of weight 0 has no loss and no gradient, also where its loss would overflow', async () => {
  const { device } = context;
  const graph = new Graph();
  const logits = input(device, 'logits', [3, 3], [3e38, -3e38, 0, 4, 5, 6, 4, 5, 6]);
  const targets = input(device, 'targets', [3], [1, 2, 2], 'u32');
  const weights = input(device, 'weights', [3], [0, 1, 0.5]);
  const losses = input(device, 'losses', [3], [9, 9, 9]);
  graph.add({
    op: 'cross_entropy',
    inputs: [targets, weights],
    outputs: [],
    updates: [logits, losses],
    launch: (kernels, bind) =>
      crossEntropy(
        kernels,
        { rows: 3, columns: 3 },
        { scale: 1 },
        { targets: bind(targets), logits: bind(logits), losses: bind(losses), weights: bind(weights) },
      ),
  });
  const [loss, gradient] = await run(device, graph, [losses, logits]);
  expect(loss![0]).toBe(0);
  expect(loss![2]).toBe(0.5 * loss![1]!);
  expect(gradient!.subarray(0, 3).every(value => value === 0)).toBe(true);
  expect([...gradient!.subarray(6)]).toEqual([...gradient!.subarray(3, 6)].map(value => 0.5 * value));
});
