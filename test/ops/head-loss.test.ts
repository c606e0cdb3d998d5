/** The chunked head against float64, in one chunk, several, and with a ragged last one; and what it never holds. */
import { describe, expect, test } from 'vitest';
import { backward } from '../../src/autograd/backward.js';
import { Graph } from '../../src/autograd/graph.js';
import { layOut } from '../../src/autograd/layout.js';
import { IGNORED_TARGET } from '../../src/kernels/cross-entropy.js';
import * as bounds from '../../src/numerics/bounds.js';
import * as reference from '../../src/numerics/reference.js';
import { softCap, softCapSlope } from '../../src/numerics/soft-cap.js';
import { chunkRows, headHits, headLoss } from '../../src/ops/head-loss.js';
import { expectWithin, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

describe('losses and gradients', () => {
  test.each([
    ['one chunk', 100, 7, 33, 100],
    ['two equal chunks', 128, 19, 31, 64],
    ['a ragged last chunk', 150, 50, 16, 64],
    ['a last chunk of one row', 193, 3, 5, 64],
  ])('%s: R %i V %i C %i', async (_, R, V, C, chunk) => {
    const { device } = context;
    const [x, w] = [uniform('x', R * C), uniform('w', V * C)];
    const targets = Uint32Array.from(uniform('targets', R, 0, V).map(Math.floor));
    const graph = new Graph();
    const X = parameter(device, 'x', [R, C], x);
    const W = parameter(device, 'w', [V, C], w);
    const losses = headLoss(graph, X, W, input(device, 'targets', [R], targets, 'u32'), { scale: 1 / R }, chunk);
    backward(graph, losses);
    const [actual, dx, dw] = await run(device, graph, [losses, X.gradient!, W.gradient!]);

    const scale = Math.fround(1 / R);
    const forward = { M: R, N: V, K: C, transposeA: false, transposeB: true };
    const logits = reference.matmul(x, w, forward);
    const expected = reference.crossEntropy(logits, targets, V, scale);
    const bound = bounds.crossEntropyBounds(logits, targets, V, scale);
    // logits that are off by δ move a loss by 2δ at most, and a probability by a factor of exp(2δ)
    const δ = Math.max(...bounds.matmulBound(reference.matmul(x, w, forward, true), C));
    expectWithin(
      actual!,
      expected.losses,
      bound.losses.map(b => b + 2 * δ),
      'losses',
    );
    const error = expected.dlogits.map((dlogit, i) => {
      const softmax = dlogit + (i % V === targets[Math.floor(i / V)] ? scale : 0);
      return bound.dlogits[i]! + Math.expm1(2 * δ) * softmax;
    });
    const largest = expected.dlogits.map((dlogit, i) => Math.abs(dlogit) + error[i]!);
    const check = (name: string, values: Float32Array, other: Float64Array, product: typeof forward, left: boolean) => {
      const multiply = (dlogits: Float64Array, magnitudes = false) =>
        left
          ? reference.matmul(dlogits, other, product, magnitudes)
          : reference.matmul(other, dlogits, product, magnitudes);
      const rounding = bounds.matmulBound(multiply(largest, true), product.K + Math.ceil(R / chunk));
      const propagated = multiply(error, true);
      expectWithin(
        values,
        multiply(expected.dlogits),
        rounding.map((b, i) => b + propagated[i]!),
        name,
      );
    };
    check('dx', dx!, w, { M: R, N: C, K: V, transposeA: false, transposeB: false }, true);
    check('dw', dw!, x, { M: V, N: C, K: R, transposeA: true, transposeB: false }, true);
  });

  test('without a gradient the losses are the same bits, and ignored rows count for nothing', async () => {
    const { device } = context;
    const [R, V, C] = [130, 11, 8];
    const ids = Uint32Array.from(uniform('targets', R, 0, V).map(Math.floor));
    ids[70] = IGNORED_TARGET;
    const X = parameter(device, 'x', [R, C], uniform('x', R * C));
    const W = input(device, 'w', [V, C], uniform('w', V * C));
    const targets = input(device, 'targets', [R], ids, 'u32');
    const [graph, plain] = [new Graph(), new Graph()];
    const losses = headLoss(graph, X, W, targets, { scale: 1 }, 64);
    backward(graph, losses);
    const [withGradient, dx] = await run(device, graph, [losses, X.gradient!]);
    const [without] = await run(device, plain, [headLoss(plain, X, W, targets, undefined, 64)]);
    expect(without).toEqual(withGradient);
    expect(without![70]).toBe(0);
    expect(without![71]).toBeGreaterThan(0);
    expect([...dx!.subarray(70 * C, 71 * C)].every(value => value === 0)).toBe(true);
    expect(dx!.subarray(71 * C, 72 * C).some(value => value !== 0)).toBe(true);
  });

  test('with a soft cap losses, hits and gradients are those of capped logits, across chunks', async () => {
    const { device } = context;
    const [R, V, C, cap, chunk] = [150, 50, 16, 2, 64];
    const [x, w] = [uniform('x', R * C), uniform('w', V * C)];
    const targets = Uint32Array.from(uniform('targets', R, 0, V).map(Math.floor));
    const graph = new Graph();
    const X = parameter(device, 'x', [R, C], x);
    const W = input(device, 'w', [V, C], w);
    const ids = input(device, 'targets', [R], targets, 'u32');
    const losses = headLoss(graph, X, W, ids, { scale: 1 }, chunk, cap);
    backward(graph, losses);
    const told = headHits(graph, X, W, ids, chunk, cap);
    const [actual, dx, again, hits] = await run(device, graph, [losses, X.gradient!, told.losses, told.hits]);
    expect(again).toEqual(actual);
    const forward = { M: R, N: V, K: C, transposeA: false, transposeB: true };
    const capped = reference.matmul(x, w, forward).map(logit => softCap(logit, cap));
    const δ = Math.max(...bounds.matmulBound(reference.matmul(x, w, forward, true), C)) + bounds.gamma(30) * cap;
    const { losses: exact, dlogits } = reference.crossEntropy(capped, targets, V, 1);
    const own = bounds.crossEntropyBounds(capped, targets, V, 1);
    expectWithin(
      actual!,
      exact,
      own.losses.map(bound => bound + 2 * δ),
      'losses',
    );
    // a slope changes by 0.77 / cap at most, and a probability by a factor of exp(2δ), where logits are off by δ
    const moved = dlogits.map((value, i) => {
      const probability = value + (i % V === targets[Math.floor(i / V)] ? 1 : 0);
      return own.dlogits[i]! + Math.expm1(2 * δ) * probability + Math.abs(value) * (δ / cap);
    });
    const back = { M: R, N: C, K: V, transposeA: false, transposeB: false };
    const dlogit = dlogits.map((value, i) => value * softCapSlope(capped[i]!, cap));
    const sums = bounds.matmulBound(reference.matmul(dlogit, w, back, true), V);
    const error = reference.matmul(moved, w, back, true).map((value, i) => value + sums[i]!);
    expectWithin(dx!, reference.matmul(dlogit, w, back), error, 'dx');
    expect(Math.max(...error)).toBeLessThan(1e-3 * Math.max(...dx!));
    expect(hits!.reduce((a, b) => a + b)).toBeGreaterThan(0);
  });

  test('says that it was traced without a gradient', () => {
    const { device } = context;
    const graph = new Graph();
    const X = parameter(device, 'x', [1, 1], [1]);
    const losses = headLoss(graph, X, input(device, 'w', [2, 1], [1, 1]), input(device, 't', [1], [0], 'u32'));
    expect(() => backward(graph, losses)).toThrow('head_loss: traced without a gradient');
  });
});

test('hits are told across chunks, with the bits of the losses without them', async () => {
  const { device } = context;
  const [R, V, C, chunk] = [150, 50, 16, 64];
  const [x, w] = [uniform('x', R * C), uniform('w', V * C)];
  const targets = Uint32Array.from(uniform('targets', R, 0, V).map(Math.floor));
  const forward = { M: R, N: V, K: C, transposeA: false, transposeB: true };
  const logits = reference.matmul(x, w, forward);
  const rowOf = (r: number) => logits.subarray(r * V, (r + 1) * V);
  for (let r = 0; r < R; r += 3) targets[r] = rowOf(r).indexOf(Math.max(...rowOf(r)));
  const graph = new Graph();
  const X = input(device, 'x', [R, C], x);
  const W = input(device, 'w', [V, C], w);
  const T = input(device, 'targets', [R], targets, 'u32');
  const told = headHits(graph, X, W, T, chunk);
  const plain = headLoss(graph, X, W, T, undefined, chunk);
  const [losses, hits, without] = await run(device, graph, [told.losses, told.hits, plain]);
  expect(losses).toEqual(without);
  // where the largest two are closer than what rounding may move them, either may be the larger one
  const δ = Math.max(...bounds.matmulBound(reference.matmul(x, w, forward, true), C));
  const isSure = (r: number) => {
    const rival = Math.max(...rowOf(r).filter((_, v) => v !== targets[r]));
    return Math.abs(rowOf(r)[targets[r]!]! - rival) > 2 * δ;
  };
  const sure = Array.from(targets.keys()).filter(isSure);
  expect(sure.length).toBeGreaterThan(R - 5);
  const expected = reference.hits(logits, targets, V);
  expect(sure.map(r => hits![r])).toEqual(sure.map(r => expected[r]));
  expect(expected.reduce((a, b) => a + b)).toBeGreaterThanOrEqual(R / 3);
});

describe('memory', () => {
  test('a chunk has at most 16 MiB of logits, or 128 rows, and starts where every adapter binds', () => {
    expect(chunkRows(8192, 512)).toBe(8192);
    expect(chunkRows(8193, 512)).toBe(8192);
    expect(chunkRows(8192, 32_000)).toBe(128);
    expect(chunkRows(8192, 250_000)).toBe(128);
    expect(chunkRows(37, 250_000)).toBe(37);
    for (const V of [300, 4097, 50_257, 151_936]) expect((4 * chunkRows(8192, V)) % 256).toBe(0);
  });

  test('holds a chunk of logits, never all', () => {
    const { device } = context;
    const graph = new Graph();
    const [R, V, C] = [1024, 20_000, 8];
    const empty = (name: string, shape: number[]) => ({ name, shape, dtype: 'f32' as const });
    const X = graph.add({ op: 'x', inputs: [], outputs: [{ shape: [R, C] }], launch: () => [] })[0]!;
    const W = { ...empty('w', [V, C]), gradient: input(device, 'dw', [V, C], new Float64Array(V * C)) };
    const losses = headLoss(graph, X, W, empty('targets', [R]), { scale: 1 });
    backward(graph, losses);
    const sizes = layOut(graph).slots.map(({ sizeBytes }) => sizeBytes);
    expect(Math.max(...sizes)).toBe(4 * 128 * V);
  });
});
