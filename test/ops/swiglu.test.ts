/** SwiGLU where exp overflows; and with its product, through the graph that training uses, in tiles of either kind. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { matmulSwigluCase } from '../../src/cases/matmul.js';
import type { MatmulVariant } from '../../src/kernels/matmul-variant.js';
import { ACTIVATIONS, swigluForward } from '../../src/kernels/swiglu.js';
import { VariantTable } from '../../src/kernels/variants.js';
import * as bounds from '../../src/numerics/bounds.js';
import * as reference from '../../src/numerics/reference.js';
import { apart, sideBySide } from '../../src/numerics/side-by-side.js';
import { swigluLinear } from '../../src/ops/swiglu.js';
import { caseParameter, expectOutputs, faultsOf } from '../support/cases.js';
import { backwardFrom, expectWithin, input, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

test.each(ACTIVATIONS)('%s is finite where exp would overflow', async activation => {
  const { device } = context;
  const graph = new Graph();
  const x = input(device, 'x', [1, 6], [-1000, -89, 1000, 1, 1, 1]);
  const made = graph.add({
    op: 'swiglu',
    inputs: [x],
    outputs: [{ shape: [1, 3] }],
    launch: (kernels, bind, [y]) =>
      swigluForward(kernels, { rows: 1, columns: 3, activation }, { x: bind(x), y: bind(y!) }),
  });
  const [actual] = await run(device, graph, made);
  expect(actual![2]).toBe(1000);
  expect(Math.abs(actual![0]!)).toBeLessThan(1e-30);
  expect(Math.abs(actual![1]!)).toBeLessThan(1e-30);
});

const tiles: Record<string, MatmulVariant | undefined> = {
  shipped: undefined,
  'tiled, two vectors a side': { kernel: 'tiled', threadsM: 4, threadsN: 8, rows: 1, columns: 4, depth: 8 },
  'tiled, with a pass of its own': { kernel: 'tiled', threadsM: 4, threadsN: 8, rows: 1, columns: 1, depth: 8 },
};

describe.each(Object.entries(tiles))('with its product: %s', (name, matmul) => {
  const tableOf = () =>
    matmul ? new VariantTable(context.device.adapter, {}, { matmul }) : new VariantTable(context.device.adapter);

  test.each([
    [1, 1, 1],
    [20, 70, 32],
  ])('the kernel alone, R %i F %i K %i', async (M, F, K) => {
    const one = matmulSwigluCase({ M, F, K, type: 'f32', activation: M > 1 ? 'gelu_pytorch_tanh' : 'silu' });
    const faults = await faultsOf(context.device, { ...one, variants: [{ name, table: tableOf() }] });
    expect([...faults.values()]).toEqual([]);
  });

  test.each([
    [7, 17, 5, 'silu'],
    [65, 33, 19, 'silu'],
    [65, 33, 19, 'gelu_pytorch_tanh'],
  ] as const)('R %i F %i K %i, %s', async (R, F, K, activation) => {
    const { device } = context;
    const forward = matmulSwigluCase({ M: R, F, K, type: 'f32', activation });
    const dy = uniform('dy', R * F);
    const graph = new Graph();
    const X = caseParameter(device, forward, 'x', [R, K]);
    const W = caseParameter(device, forward, 'weight', [2 * F, K]);
    const y = swigluLinear(graph, X, W, activation);
    backwardFrom(graph, y, input(device, 'dy', [R, F], dy));
    const [actual, dx, dw] = await run(device, graph, [y, X.gradient!, W.gradient!], tableOf());
    expectOutputs(forward, { y: actual! });

    const [x, w] = [forward.inputs.x!.values, forward.inputs.weight!.values];
    const gateUp = reference.matmul(x, w, { M: R, N: 2 * F, K, transposeA: false, transposeB: true });
    const [gate, up] = apart(gateUp, R, [F, F]) as [reference.Vector, reference.Vector];
    const gradient = (activation === 'silu' ? reference.swigluBackward : reference.gegluBackward)(gate, up, dy);
    const dgateUp = sideBySide([gradient.dgate, gradient.dup], R);
    const expectClose = (values: Float32Array, what: string, product: (magnitudes: boolean) => reference.Vector) => {
      // gate and up are off by γ_K of terms below 1 each, which moves dgate and dup, and they their sums, as much
      const slack = product(true).map(sum => 8 * bounds.gamma(4 * K + 2 * F + R + 64) * (sum + K));
      expectWithin(values, product(false), slack, what);
    };
    const back = { M: R, N: K, K: 2 * F, transposeA: false, transposeB: false };
    const weight = { M: 2 * F, N: K, K: R, transposeA: true, transposeB: false };
    expectClose(dx!, 'dx', magnitudes => reference.matmul(dgateUp, w, back, magnitudes));
    expectClose(dw!, 'dw', magnitudes => reference.matmul(dgateUp, x, weight, magnitudes));
  });
});
