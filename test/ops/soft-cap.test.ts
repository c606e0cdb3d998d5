/** Soft caps of what is no finite number: tests of the finite ones are audited cases. */
import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import type { AttentionVariant } from '../../src/kernels/attention-variant.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { attention } from '../../src/ops/attention.js';
import { softCap } from '../../src/ops/soft-cap.js';
import { input, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

test.each([5, 8])('of %i logits those that are not finite stay as they are', async count => {
  const x = Float32Array.from({ length: count }, (_, i) => [Number.NaN, Infinity, -Infinity, 3.4e38, -3.4e38][i % 5]!);
  const graph = new Graph();
  const [capped] = await run(context.device, graph, [softCap(graph, input(context.device, 'x', [1, count], x), 30)]);
  for (const [i, value] of capped!.entries()) {
    if (Number.isFinite(x[i]!)) expect(value).toBeCloseTo(30 * Math.sign(x[i]!), 4);
    else expect(value).toBe(x[i]);
  }
});

describe('a query of NaN makes its outputs NaN, and no other', () => {
  const variants: Record<string, AttentionVariant | undefined> = {
    'as shipped': undefined,
    'in tiles': { threadsM: 4, threadsN: 2, blocks: 2, depth: 4 },
  };
  test.each(Object.entries(variants))('%s', async (_, variant) => {
    const { device } = context;
    const [T, D, bad] = [9, 8, 5];
    const qkv = uniform('qkv', T * 3 * D);
    qkv.fill(Number.NaN, bad * 3 * D, bad * 3 * D + D);
    const graph = new Graph();
    const x = input(device, 'qkv', [T, 3 * D], qkv);
    const out = attention(graph, x, { B: 1, T, H: 1, KV: 1, D, softCap: 50 });
    const table = new VariantTable(device.adapter, {}, variant && { attention: variant });
    const [values] = await run(device, graph, [out], table);
    for (const [i, value] of values!.entries()) expect(Number.isNaN(value)).toBe(Math.floor(i / D) === bad);
  });
});
