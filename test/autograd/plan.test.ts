import { describe, expect, test } from 'vitest';
import { backward } from '../../src/autograd/backward.js';
import { Graph } from '../../src/autograd/graph.js';
import { plan } from '../../src/autograd/plan.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import { backwardFrom, input, parameter, run, sum, useDevice } from '../support/gpu.js';

const context = useDevice();

function chain(graph: Graph, x: Tensor, length: number): Tensor {
  let y = x;
  for (let i = 0; i < length; i++) y = sum(graph, y, y);
  return y;
}

describe('the planner', () => {
  test('reuses buffers by lifetime: a long chain needs two', async () => {
    const { device } = context;
    const graph = new Graph();
    const x = input(device, 'x', [64, 64], new Float64Array(4096).fill(1));
    const y = chain(graph, x, 10);
    const before = device.counters.buffers;
    const planned = await plan(device, graph, { keep: [y] });
    expect(device.counters.buffers - before).toBe(2 + 1); // and one for the kernels' parameters
    planned.destroy();
    const all = await plan(device, graph, { keepAll: true });
    expect(device.counters.buffers - before).toBe(3 + 10 + 1);
    all.destroy();
  });

  test('gives the same values with and without reuse', async () => {
    const { device } = context;
    const graph = new Graph();
    const x = input(
      device,
      'x',
      [3, 5],
      Float64Array.from({ length: 15 }, (_, i) => Math.fround(0.2 * i - 1)),
    );
    const y = chain(graph, x, 4);
    const [reused] = await run(device, graph, [y]);
    const planned = await plan(device, graph, { keepAll: true });
    device.submit(planned.commands);
    expect(new Float32Array(await device.read(planned.rangeOf(y).buffer, 0, 60))).toEqual(reused);
    planned.destroy();
  });

  test('drops what leads to nothing', async () => {
    const { device } = context;
    const graph = new Graph();
    const x = input(device, 'x', [8], new Float64Array(8));
    const y = chain(graph, x, 1);
    chain(graph, x, 3);
    const planned = await plan(device, graph, { keep: [y] });
    expect(planned.nodes).toHaveLength(1);
    planned.destroy();
  });
});

describe('the backward walk', () => {
  test('adds the gradients of a tensor that is used twice', async () => {
    const { device } = context;
    const graph = new Graph();
    const x = parameter(device, 'x', [1, 2], [1, 2]);
    const y = sum(graph, x, sum(graph, x, x));
    backwardFrom(graph, y, input(device, 'dy', [1, 2], [1, 2]));
    const [dx] = await run(device, graph, [x.gradient!]);
    expect([...dx!]).toEqual([3, 6]);
  });

  test('names an op without a rule, and does not touch what needs no gradient', () => {
    const { device } = context;
    const graph = new Graph();
    const x = parameter(device, 'x', [1], [1]);
    const [y] = graph.add({ op: 'mystery', inputs: [x], outputs: [{ shape: [1] }], launch: () => [] });
    expect(() => backwardFrom(graph, y!, input(device, 'dy', [1], [1]))).toThrow("op 'mystery' has no backward rule");
    const free = new Graph();
    const z = sum(free, input(device, 'a', [1], [1]), input(device, 'b', [1], [1]));
    const nodes = free.nodes.length;
    backward(free, z);
    expect(free.nodes).toHaveLength(nodes);
  });
});
