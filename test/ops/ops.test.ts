/** Forward and backward of every op against float64, through the graph that training uses. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import { crossEntropy, IGNORED_TARGET } from '../../src/kernels/rows.js';
import * as bounds from '../../src/numerics/bounds.js';
import { embeddingCases, ropeCases, rowCases } from '../../src/numerics/cases.js';
import * as reference from '../../src/numerics/reference.js';
import { embedding, groupRowsById } from '../../src/ops/embedding.js';
import { linear } from '../../src/ops/linear.js';
import { rmsnorm } from '../../src/ops/rmsnorm.js';
import { rope, ropeTable } from '../../src/ops/rope.js';
import { swiglu } from '../../src/ops/swiglu.js';
import {
  backwardFrom,
  expectWithin,
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

describe('swiglu', () => {
  test.each([
    [1, 1],
    [1, 127],
    [3, 128],
    [5, 33],
    [129, 7],
  ])('%i rows of %i', async (rows, columns) => {
    const { device } = context;
    const count = rows * columns;
    const gate = uniform('gate', count, -12, 12);
    const [up, dy] = [uniform('up', count), uniform('dy', count)];
    const graph = new Graph();
    const X = parameter(device, 'x', [rows, 2 * columns], sideBySide([gate, up], rows));
    const y = swiglu(graph, X);
    backwardFrom(graph, y, input(device, 'dy', [rows, columns], dy));
    const [actual, dx] = await run(device, graph, [y, X.gradient!]);
    const [dgate, dup] = parts(dx!, rows, [columns, columns]);
    const gradient = reference.swigluBackward(gate, up, dy);
    const bound = bounds.swigluBackwardBounds(gate, up, dy);
    expectWithin(actual!, reference.swiglu(gate, up), bounds.swigluBound(gate, up), 'y');
    expectWithin(dgate!, gradient.dgate, bound.dgate, 'dgate');
    expectWithin(dup!, gradient.dup, bound.dup, 'dup');
  });

  test('is finite where exp(-gate) would overflow', async () => {
    const { device } = context;
    const graph = new Graph();
    const y = swiglu(graph, input(device, 'x', [1, 6], [-1000, -89, 1000, 1, 1, 1]));
    const [actual] = await run(device, graph, [y]);
    expect(actual![2]).toBe(1000);
    expect(Math.abs(actual![0]!)).toBeLessThan(1e-30);
    expect(Math.abs(actual![1]!)).toBeLessThan(1e-30);
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
