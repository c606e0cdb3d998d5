/** Gradients of the reference ops against central differences, and values worked out by hand. */
import { describe, expect, test } from 'vitest';
import { attention, attentionBackward } from '../../src/numerics/attention.js';
import { gamma, matmulBound, U } from '../../src/numerics/bounds.js';
import { compare } from '../../src/numerics/compare.js';
import { gradientDeviation } from '../../src/numerics/gradcheck.js';
import * as ops from '../../src/numerics/reference.js';
import { Random } from '../../src/random.js';

const TOLERANCE = 1e-8; // central differences are good to about 1e-10 of the function

function random(label: string, count: number): Float64Array {
  const generator = new Random(1, label);
  return Float64Array.from({ length: count }, () => 4 * generator.uniform() - 2);
}

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, x, i) => sum + x * b[i]!, 0);

function expectGradient(f: () => number, x: Float64Array, gradient: Float64Array, what: string): void {
  const { deviation, index } = gradientDeviation(f, x, gradient);
  expect(deviation, `${what} at ${index}`).toBeLessThan(TOLERANCE);
}

describe('gradients', () => {
  test('rmsnorm', () => {
    const [x, w, dy] = [random('x', 15), random('w', 5), random('dy', 15)];
    const f = () => dot(ops.rmsnorm(x, w, 3, 5, 1e-5).y, dy);
    const { dx, dweight } = ops.rmsnormBackward(x, w, ops.rmsnorm(x, w, 3, 5, 1e-5).rstd, dy, 3, 5);
    expectGradient(f, x, dx, 'dx');
    expectGradient(f, w, dweight, 'dweight');
  });

  test('rope', () => {
    const [x, dy] = [random('x', 2 * 3 * 2 * 6), random('dy', 2 * 3 * 2 * 6)];
    expectGradient(() => dot(ops.rope(x, 2, 3, 2, 6, 100, 1), dy), x, ops.rope(dy, 2, 3, 2, 6, 100, -1), 'dx');
  });

  test('swiglu', () => {
    const [g, u, dy] = [random('g', 20).map(x => 3 * x), random('u', 20), random('dy', 20)];
    const { dgate, dup } = ops.swigluBackward(g, u, dy);
    expectGradient(() => dot(ops.swiglu(g, u), dy), g, dgate, 'dgate');
    expectGradient(() => dot(ops.swiglu(g, u), dy), u, dup, 'dup');
  });

  test('cross-entropy', () => {
    const logits = random('logits', 21);
    const sum = () => 0.25 * ops.crossEntropy(logits, [6, 0, 3], 7, 0.25).losses.reduce((a, b) => a + b, 0);
    expectGradient(sum, logits, ops.crossEntropy(logits, [6, 0, 3], 7, 0.25).dlogits, 'dlogits');
  });

  test('embedding', () => {
    const [table, dy] = [random('table', 12), random('dy', 15)];
    const ids = [3, 0, 3, 1, 3];
    expectGradient(() => dot(ops.embedding(table, ids, 3), dy), table, ops.embeddingBackward(dy, ids, 4, 3), 'dtable');
  });

  test('attention with grouped-query heads', () => {
    const shape = { B: 2, T: 4, H: 4, KV: 2, D: 3 };
    const [q, k, v, dout] = [random('q', 96), random('k', 48), random('v', 48), random('dout', 96)];
    const f = () => dot(attention({ q, k, v }, shape).out, dout);
    const { dq, dk, dv } = attentionBackward({ q, k, v }, dout, shape);
    expectGradient(f, q, dq, 'dq');
    expectGradient(f, k, dk, 'dk');
    expectGradient(f, v, dv, 'dv');
  });

  test('a wrong gradient is seen', () => {
    const x = random('x', 3);
    const wrong = x.map(value => 2 * value * 1.0001);
    expect(gradientDeviation(() => dot(x, x), x, wrong).deviation).toBeGreaterThan(TOLERANCE);
  });
});

describe('by hand', () => {
  test('matmul of [[1, 2], [3, 4]] and [[5, 6], [7, 8]], in all three forms', () => {
    const [a, b] = [Float64Array.of(1, 2, 3, 4), Float64Array.of(5, 6, 7, 8)];
    const size = { M: 2, N: 2, K: 2 };
    expect([...ops.matmul(a, b, { ...size, transposeA: false, transposeB: false })]).toEqual([19, 22, 43, 50]);
    expect([...ops.matmul(a, b, { ...size, transposeA: false, transposeB: true })]).toEqual([17, 23, 39, 53]);
    expect([...ops.matmul(a, b, { ...size, transposeA: true, transposeB: false })]).toEqual([26, 30, 38, 44]);
  });

  test('the first position of causal attention is its value', () => {
    const { out } = attention(
      { q: random('q', 4), k: random('k', 4), v: Float64Array.of(1, 2, 3, 4) },
      { B: 1, T: 2, H: 1, KV: 1, D: 2 },
    );
    expect([...out.subarray(0, 2)]).toEqual([1, 2]);
  });

  test('uniform logits lose log V', () => {
    expect(ops.crossEntropy(new Float64Array(8), [3], 8, 1).losses[0]).toBeCloseTo(Math.log(8), 15);
  });

  test('the first AdamW step moves by the learning rate', () => {
    const state = { parameter: Float64Array.of(1), m: new Float64Array(1), v: new Float64Array(1) };
    ops.adamw(state, Float64Array.of(0.5), {
      lr: 0.1,
      beta1: 0.9,
      beta2: 0.95,
      eps: 0,
      weightDecay: 0.1,
      clipFactor: 1,
      step: 1,
    });
    expect(state.parameter[0]).toBeCloseTo(1 * (1 - 0.01) - 0.1, 15);
  });
});

describe('bounds and comparison', () => {
  test('float32 summation stays within γ_n, and the bound is not idle', () => {
    const [a, b] = [random('a', 999).map(Math.fround), random('b', 999).map(Math.fround)];
    let single = 0;
    for (let k = 0; k < 999; k++) single = Math.fround(single + Math.fround(a[k]! * b[k]!));
    const shape = { M: 1, N: 1, K: 999, transposeA: false, transposeB: false };
    const [bound] = matmulBound(ops.matmul(a, b, shape, true), 999);
    const error = Math.abs(single - ops.matmul(a, b, shape)[0]!);
    expect(error).toBeGreaterThan(0);
    expect(error).toBeLessThan(bound!);
    expect(gamma(1000)).toBeCloseTo(1000 * U, 6);
  });

  test('a value that is not finite fails, and an error beyond the bound is named', () => {
    expect(compare(Float32Array.of(Number.NaN), Float64Array.of(1), 1e9).passed).toBe(false);
    const result = compare(Float32Array.of(1, 2.5), Float64Array.of(1, 2), 0.1);
    expect(result.passed).toBe(false);
    expect(result.worstIndex).toBe(1);
    expect(result.description).toContain('[1] 2.5 expected 2');
  });
});
