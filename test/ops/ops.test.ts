/** Forward and backward of every op against float64, through the graph that training uses. */
import { describe, expect, test, vi } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import type { DType, Tensor } from '../../src/autograd/tensor.js';
import type { MatmulVariant } from '../../src/kernels/matmul-variant.js';
import { crossEntropy, IGNORED_TARGET, swigluBackward, swigluForward } from '../../src/kernels/rows.js';
import { KernelTable } from '../../src/kernels/table.js';
import * as bounds from '../../src/numerics/bounds.js';
import { embeddingCases, ropeCases, rowCases } from '../../src/numerics/cases.js';
import { compare } from '../../src/numerics/compare.js';
import * as reference from '../../src/numerics/reference.js';
import { embedding, groupRowsById } from '../../src/ops/embedding.js';
import { linear } from '../../src/ops/linear.js';
import { rmsnorm } from '../../src/ops/rmsnorm.js';
import { type RopeScaling, rope, ropeFrequencies, ropeTable } from '../../src/ops/rope.js';
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

describe('rope', () => {
  test.each(ropeCases)('B %i T %i heads %i of %i size %i', async (B, T, _, heads, headSize) => {
    const { device } = context;
    const count = B * T * heads * headSize;
    const [x, dy] = [uniform('x', count), uniform('dy', count)];
    const table = input(device, 'table', [T, headSize / 2, 2], ropeTable(T, headSize, 10000));
    const graph = new Graph();
    const X = parameter(device, 'x', [B * T, heads * headSize], x);
    const y = rope(graph, X, table, { B, T, heads, rowHeads: heads, headSize });
    backwardFrom(graph, y, input(device, 'dy', [B * T, heads * headSize], dy));
    const [actual, dx, untouched] = await run(device, graph, [y, X.gradient!, X]);
    expectWithin(actual!, reference.rope(x, B, T, heads, headSize, 10000, 1), bounds.ropeBound(x, headSize), 'y');
    expectWithin(dx!, reference.rope(dy, B, T, heads, headSize, 10000, -1), bounds.ropeBound(dy, headSize), 'dx');
    expect(untouched, 'an input that is still needed is copied first').toEqual(Float32Array.from(x));
  });
});

describe('rope scaling', () => {
  const llama3 = { type: 'llama3', factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 128 };

  test.each([{ type: 'linear', factor: 2.5 } as const, llama3 as RopeScaling])('$type', async scaling => {
    const { device } = context;
    const [B, T, heads, headSize] = [1, 300, 2, 16];
    const x = uniform('x', B * T * heads * headSize);
    const table = input(device, 'table', [T, headSize / 2, 2], ropeTable(T, headSize, 500_000, scaling));
    const graph = new Graph();
    const y = rope(graph, input(device, 'x', [B * T, heads * headSize], x), table, {
      B,
      T,
      heads,
      rowHeads: heads,
      headSize,
    });
    const [actual] = await run(device, graph, [y]);
    const expected = (how?: RopeScaling) => reference.rope(x, B, T, heads, headSize, 500_000, 1, how);
    expectWithin(actual!, expected(scaling), bounds.ropeBound(x, headSize), 'y');
    expect(compare(actual!, expected(), bounds.ropeBound(x, headSize)).passed, 'unscaled').toBe(false);
  });

  test('llama3 keeps short wavelengths, divides long ones, and goes from one to the other without a jump', () => {
    const [theta, size] = [500_000, 256];
    const plain = ropeFrequencies(size, theta);
    const ratios = ropeFrequencies(size, theta, llama3 as RopeScaling).map((frequency, i) => frequency / plain[i]!);
    const turns = plain.map(frequency => (128 * frequency) / (2 * Math.PI));
    ratios.forEach((ratio, i) => {
      if (turns[i]! >= 4) expect(ratio).toBe(1);
      else if (turns[i]! <= 1) expect(ratio).toBeCloseTo(1 / 8, 12);
      else expect(ratio).toBeCloseTo(1 / 8 + ((7 / 8) * (turns[i]! - 1)) / 3, 12);
    });
    expect(ratios.filter(ratio => ratio > 1 / 8 + 1e-9 && ratio < 1).length).toBeGreaterThan(10);
  });
});

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
      launch: (kernels, bind, [y, dx]) => [
        ...swigluForward(kernels, sizes, { x: bind(x), y: bind(y!) }),
        ...swigluBackward(kernels, sizes, { x: bind(x), dy: bind(DY), dx: bind(dx!) }),
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
      const kernels = new KernelTable(device.adapter);
      if (variant) vi.spyOn(kernels, 'matmul').mockReturnValue(variant);
      const [actual, dx, dw] = await run(device, graph, [y, X.gradient!, W.gradient!], kernels);

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

describe('embedding', () => {
  test.each(embeddingCases)('%i rows of a table %i x %i', async (R, V, C) => {
    const { device } = context;
    const [table, dy] = [uniform('table', V * C), uniform('dy', R * C)];
    const ids = Uint32Array.from(uniform('ids', R, 0, V).map(Math.floor));
    const { order, starts } = groupRowsById(ids);
    const graph = new Graph();
    const TABLE = parameter(device, 'table', [V, C], table);
    const y = embedding(graph, TABLE, {
      ids: input(device, 'ids', [R], ids, 'u32'),
      order: input(device, 'order', [R], order, 'u32'),
      starts: input(device, 'starts', [R + 1], starts, 'u32'),
    });
    backwardFrom(graph, y, input(device, 'dy', [R, C], dy));
    const [actual, dtable] = await run(device, graph, [y, TABLE.gradient!]);
    expect(actual).toEqual(Float32Array.from(reference.embedding(table, ids, C)));
    const magnitudes = reference.embeddingBackward(dy.map(Math.abs), ids, V, C);
    const bound = magnitudes.map(sum => bounds.gamma(R) * sum + 1e-38);
    expectWithin(dtable!, reference.embeddingBackward(dy, ids, V, C), bound, 'dtable');
  });
});

describe('cross-entropy', () => {
  /** The kernel alone, as a node: losses and, in place, the gradient. */
  function trace(graph: Graph, logits: Tensor, targets: Tensor, scale: number): readonly Tensor[] {
    const [rows, columns] = logits.shape as [number, number];
    return graph.add({
      op: 'cross_entropy',
      inputs: [logits, targets],
      outputs: [{ shape: [rows] }, { shape: logits.shape, inPlaceOf: logits }],
      launch: (kernels, bind, [losses, dlogits]) =>
        crossEntropy(
          kernels,
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
