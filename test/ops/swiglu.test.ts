/** SwiGLU, alone and with its product, forward and backward, against float64. */
import { describe, expect, test, vi } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import type { DType } from '../../src/autograd/tensor.js';
import type { MatmulVariant } from '../../src/kernels/matmul-variant.js';
import { swigluBackward, swigluForward } from '../../src/kernels/swiglu.js';
import { VariantTable } from '../../src/kernels/variants.js';
import * as bounds from '../../src/numerics/bounds.js';
import * as reference from '../../src/numerics/reference.js';
import { swigluLinear } from '../../src/ops/swiglu.js';
import {
  backwardFrom,
  expectWithin,
  halfUniform,
  input,
  parameter,
  parts,
  run,
  sideBySide,
  uniform,
  useDevice,
} from '../support/gpu.js';

const context = useDevice();

describe('swiglu', () => {
  /** The kernels alone: y and dx of x, gate and up side by side. */
  async function gated(rows: number, columns: number, values: Float64Array, dy: Float64Array, dtype: DType) {
    const { device } = context;
    const graph = new Graph();
    const x = input(device, 'x', [rows, 2 * columns], values, dtype);
    const DY = input(device, 'dy', [rows, columns], dy, dtype);
    const sizes = { rows, columns };
    const outputs = [
      { shape: [rows, columns], dtype },
      { shape: [rows, 2 * columns], dtype },
    ];
    const made = graph.add({
      op: 'swiglu',
      inputs: [x, DY],
      outputs,
      launch: (variants, bind, [y, dx]) => [
        ...swigluForward(variants, sizes, { x: bind(x), y: bind(y!) }),
        ...swigluBackward(variants, sizes, { x: bind(x), dy: bind(DY), dx: bind(dx!) }),
      ],
    });
    return (await run(device, graph, made)) as [Float32Array, Float32Array];
  }

  const sizes = [
    [1, 1],
    [1, 127],
    [3, 128],
    [5, 33],
    [129, 7],
  ] as const;

  test.each(sizes)('%i rows of %i', async (rows, columns) => {
    const count = rows * columns;
    const gate = uniform('gate', count, -12, 12);
    const [up, dy] = [uniform('up', count), uniform('dy', count)];
    const [actual, dx] = await gated(rows, columns, sideBySide([gate, up], rows), dy, 'f32');
    const [dgate, dup] = parts(dx, rows, [columns, columns]);
    const gradient = reference.swigluBackward(gate, up, dy);
    const bound = bounds.swigluBackwardBounds(gate, up, dy);
    expectWithin(actual, reference.swiglu(gate, up), bounds.swigluBound(gate, up), 'y');
    expectWithin(dgate!, gradient.dgate, bound.dgate, 'dgate');
    expectWithin(dup!, gradient.dup, bound.dup, 'dup');
  });

  test.each(sizes)('%i rows of %i, of halves', async (rows, columns) => {
    if (!context.device.adapter.features.includes('shader-f16')) return;
    const count = rows * columns;
    const gate = halfUniform('gate', count, -12, 12);
    const [up, dy] = [halfUniform('up', count), halfUniform('dy', count)];
    const [actual, dx] = await gated(rows, columns, sideBySide([gate, up], rows), dy, 'f16');
    const [dgate, dup] = parts(dx, rows, [columns, columns]);
    const gradient = reference.swigluBackward(gate, up, dy);
    const bound = bounds.swigluBackwardBounds(gate, up, dy);
    const y = reference.swiglu(gate, up);
    expectWithin(actual, y, bounds.storedBound(bounds.swigluBound(gate, up), y, 'f16'), 'y');
    expectWithin(dgate!, gradient.dgate, bounds.storedBound(bound.dgate, gradient.dgate, 'f16'), 'dgate');
    expectWithin(dup!, gradient.dup, bounds.storedBound(bound.dup, gradient.dup, 'f16'), 'dup');
  });

  test('is finite where exp(-gate) would overflow', async () => {
    const [actual] = await gated(1, 3, Float64Array.of(-1000, -89, 1000, 1, 1, 1), new Float64Array(3), 'f32');
    expect(actual[2]).toBe(1000);
    expect(Math.abs(actual[0]!)).toBeLessThan(1e-30);
    expect(Math.abs(actual[1]!)).toBeLessThan(1e-30);
  });

  const variants: Record<string, MatmulVariant | undefined> = {
    shipped: undefined,
    'tiled, two vectors a side': { kernel: 'tiled', threadsM: 4, threadsN: 8, rows: 1, columns: 4, depth: 8 },
    'tiled, with a pass of its own': { kernel: 'tiled', threadsM: 4, threadsN: 8, rows: 1, columns: 1, depth: 8 },
  };

  describe.each(Object.entries(variants))('with its product: %s', (_, variant) => {
    test.each([
      [1, 1, 1],
      [7, 17, 5],
      [65, 33, 19],
      [20, 70, 32],
    ])('R %i F %i K %i', async (R, F, K) => {
      const { device } = context;
      const [x, w, dy] = [uniform('x', R * K, -1, 1), uniform('w', 2 * F * K, -1, 1), uniform('dy', R * F)];
      const graph = new Graph();
      const X = parameter(device, 'x', [R, K], x);
      const W = parameter(device, 'w', [2 * F, K], w);
      const y = swigluLinear(graph, X, W);
      backwardFrom(graph, y, input(device, 'dy', [R, F], dy));
      const variants = new VariantTable(device.adapter);
      if (variant) vi.spyOn(variants, 'matmul').mockReturnValue(variant);
      const [actual, dx, dw] = await run(device, graph, [y, X.gradient!, W.gradient!], variants);

      const forward = { M: R, N: 2 * F, K, transposeA: false, transposeB: true };
      const [gate, up] = parts(reference.matmul(x, w, forward), R, [F, F]) as [Float64Array, Float64Array];
      const [gateBound, upBound] = parts(bounds.matmulBound(reference.matmul(x, w, forward, true), K), R, [F, F]);
      const expected = reference.swiglu(gate, up);
      const bound = bounds.swigluOfProductsBound(gate, up, gateBound!, upBound!);
      expectWithin(actual!, expected, bound, 'y');
      const gradient = reference.swigluBackward(gate, up, dy);
      const dgateUp = sideBySide([gradient.dgate, gradient.dup], R);
      const back = { M: R, N: K, K: 2 * F, transposeA: false, transposeB: false };
      const weight = { M: 2 * F, N: K, K: R, transposeA: true, transposeB: false };
      const expectClose = (values: Float32Array, exact: Float64Array, magnitudes: Float64Array, what: string) => {
        // gate and up are off by γ_K of terms below 1 each, which moves dgate and dup, and they their sums, as much
        const slack = magnitudes.map(sum => 8 * bounds.gamma(4 * K + 2 * F + R + 64) * (sum + K));
        expectWithin(values, exact, slack, what);
      };
      expectClose(dx!, reference.matmul(dgateUp, w, back), reference.matmul(dgateUp, w, back, true), 'dx');
      expectClose(dw!, reference.matmul(dgateUp, x, weight), reference.matmul(dgateUp, x, weight, true), 'dw');
    });
  });
});
