/** The cross-entropy kernel, losses and gradient, against float64. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import { crossEntropy, IGNORED_TARGET } from '../../src/kernels/cross-entropy.js';
import * as bounds from '../../src/numerics/bounds.js';
import { rowCases } from '../../src/numerics/cases.js';
import * as reference from '../../src/numerics/reference.js';
import { expectWithin, input, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

describe('cross-entropy', () => {
  /** The kernel alone, as a node: losses and, in place, the gradient. */
  function trace(graph: Graph, logits: Tensor, targets: Tensor, scale: number): readonly Tensor[] {
    const [rows, columns] = logits.shape as [number, number];
    return graph.add({
      op: 'cross_entropy',
      inputs: [logits, targets],
      outputs: [{ shape: [rows] }, { shape: logits.shape, inPlaceOf: logits }],
      launch: (variants, bind, [losses, dlogits]) =>
        crossEntropy(
          variants,
          { rows, columns },
          { scale },
          { targets: bind(targets), logits: bind(dlogits!), losses: bind(losses!) },
        ),
    });
  }

  test.each(rowCases)('$name', async ({ name, shape: { rows: R, columns: V } }) => {
    const { device } = context;
    const logits = uniform(`logits ${name}`, R * V, -9, 9);
    const targets = Uint32Array.from(uniform(`targets ${name}`, R, 0, V).map(Math.floor));
    const graph = new Graph();
    const L = input(device, 'logits', [R, V], logits);
    const traced = trace(graph, L, input(device, 'targets', [R], targets, 'u32'), 1 / R);
    const [losses, dlogits] = await run(device, graph, traced);
    const scale = Math.fround(1 / R);
    const expected = reference.crossEntropy(logits, targets, V, scale);
    const bound = bounds.crossEntropyBounds(logits, targets, V, scale);
    expectWithin(losses!, expected.losses, bound.losses, 'losses');
    expectWithin(dlogits!, expected.dlogits, bound.dlogits, 'dlogits');
  });

  test('rows with an ignored target have no loss and no gradient', async () => {
    const { device } = context;
    const graph = new Graph();
    const L = input(device, 'logits', [2, 3], [1, 2, 3, 4, 5, 6]);
    const traced = trace(graph, L, input(device, 'targets', [2], [IGNORED_TARGET, 2], 'u32'), 1);
    const [losses, dlogits] = await run(device, graph, traced);
    expect(losses![0]).toBe(0);
    expect(losses![1]).toBeCloseTo(Math.log(1 + Math.exp(-1) + Math.exp(-2)), 5);
    expect([...dlogits!.subarray(0, 3)]).toEqual([0, 0, 0]);
    expect(dlogits![3]).toBeGreaterThan(0);
  });
});
