/** RoPE through the graph that training uses, there and back; and scaled frequencies. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import type { Case } from '../../src/cases/case.js';
import { ropeCase } from '../../src/cases/rope.js';
import * as bounds from '../../src/numerics/bounds.js';
import { compare } from '../../src/numerics/compare.js';
import * as reference from '../../src/numerics/reference.js';
import { type RopeScaling, rope, ropeFrequencies, ropeTable } from '../../src/ops/rope.js';
import { caseInput, caseParameter, expectOutputs } from '../support/cases.js';
import { backwardFrom, expectWithin, input, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

test.each([
  { B: 2, T: 7, heads: 3, rowHeads: 3, headSize: 8 },
  { B: 1, T: 37, heads: 4, rowHeads: 6, headSize: 24 },
])('B $B T $T heads $heads of $rowHeads size $headSize', async sizes => {
  const { device } = context;
  const { B, T, rowHeads, headSize } = sizes;
  const [forward, inverse] = [false, true].map(inverse => ropeCase({ ...sizes, type: 'f32', inverse })) as [Case, Case];
  const shape = [B * T, rowHeads * headSize];
  const graph = new Graph();
  const x = caseParameter(device, forward, 'x', shape);
  const y = rope(graph, x, caseInput(device, forward, 'table', [T, headSize / 2, 2]), sizes);
  const dy = uniform('dy', B * T * rowHeads * headSize);
  backwardFrom(graph, y, input(device, 'dy', shape, dy));
  const [actual, dx, untouched] = await run(device, graph, [y, x.gradient!, x]);
  const values = forward.outputs.x!.initial!.values;
  expectOutputs(forward, { x: actual! });
  expectOutputs(inverse, { x: dx! }, { x: dy });
  expect(untouched, 'an input that is still needed is copied first').toEqual(Float32Array.from(values));
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
