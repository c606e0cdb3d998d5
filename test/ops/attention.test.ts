import { describe, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import {
  type AttentionVariant,
  attentionBackwardKeyValue,
  attentionBackwardQuery,
  attentionForward,
  attentionVariant,
} from '../../src/kernels/attention.js';
import { attention as attention64, attentionBackward } from '../../src/numerics/attention.js';
import { attentionBounds } from '../../src/numerics/bounds.js';
import { attentionCases } from '../../src/numerics/cases.js';
import { attention } from '../../src/ops/attention.js';
import { backwardFrom, expectWithin, input, parameter, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();

describe('attention, forward and backward, row by row', () => {
  test.each(attentionCases)('$name', async ({ name, shape }) => {
    const { device } = context;
    const { B, T, H, KV, D } = shape;
    const q = uniform(`q ${name}`, B * T * H * D);
    const [k, v] = [uniform(`k ${name}`, B * T * KV * D), uniform(`v ${name}`, B * T * KV * D)];
    const dout = uniform(`dout ${name}`, B * T * H * D);
    const graph = new Graph();
    const Q = parameter(device, 'q', [B * T, H * D], q);
    const K = parameter(device, 'k', [B * T, KV * D], k);
    const V = parameter(device, 'v', [B * T, KV * D], v);
    const out = attention(graph, Q, K, V, shape);
    backwardFrom(graph, out, input(device, 'dout', [B * T, H * D], dout));
    const [actual, dq, dk, dv] = await run(device, graph, [out, Q.gradient!, K.gradient!, V.gradient!]);
    const expected = attention64({ q, k, v }, shape);
    const gradient = attentionBackward({ q, k, v }, dout, shape);
    const bound = attentionBounds({ q, k, v }, expected.out, dout, shape);
    expectWithin(actual!, expected.out, bound.out, 'out');
    expectWithin(dq!, gradient.dq, bound.dq, 'dq');
    expectWithin(dk!, gradient.dk, bound.dk, 'dk');
    expectWithin(dv!, gradient.dv, bound.dv, 'dv');
  });
});

describe('the workgroup-memory variant', () => {
  const variant: AttentionVariant = { subgroups: false, workgroup: 64, rows: 8 };
  const cases = attentionCases.filter(({ shape }) => shape.D <= 80);
  test.each(cases)('$name', async ({ name, shape }) => {
    const { device } = context;
    const { B, T, H, KV, D } = shape;
    const q = uniform(`q ${name}`, B * T * H * D);
    const [k, v] = [uniform(`k ${name}`, B * T * KV * D), uniform(`v ${name}`, B * T * KV * D)];
    const dout = uniform(`dout ${name}`, B * T * H * D);
    const zero = (label: string, count: number) => input(device, label, [count], new Float64Array(count));
    const given = { q, k, v, dout };
    const tensors = {
      ...Object.fromEntries(
        Object.entries(given).map(([label, values]) => [label, input(device, label, [values.length], values)]),
      ),
      ...Object.fromEntries(['out', 'dq'].map(label => [label, zero(label, q.length)])),
      ...Object.fromEntries(['dk', 'dv'].map(label => [label, zero(label, k.length)])),
      ...Object.fromEntries(['logsumexp', 'delta'].map(label => [label, zero(label, B * H * T)])),
    } as Record<
      'q' | 'k' | 'v' | 'dout' | 'out' | 'logsumexp' | 'delta' | 'dq' | 'dk' | 'dv',
      ReturnType<typeof input>
    >;
    const graph = new Graph();
    graph.add({
      op: 'attention',
      inputs: [],
      outputs: [],
      updates: Object.values(tensors),
      launch: (_, bind) => {
        const bound = Object.fromEntries(
          Object.entries(tensors).map(([label, tensor]) => [label, bind(tensor)]),
        ) as Record<keyof typeof tensors, ReturnType<typeof bind>>;
        return [
          attentionForward(variant, shape, bound),
          attentionBackwardQuery(variant, shape, bound),
          attentionBackwardKeyValue(variant, shape, bound),
        ];
      },
    });
    const names = ['out', 'logsumexp', 'dq', 'dk', 'dv'] as const;
    const values = await run(
      device,
      graph,
      names.map(label => tensors[label]),
    );
    const expected = { ...attention64({ q, k, v }, shape), ...attentionBackward({ q, k, v }, dout, shape) };
    const bound = attentionBounds({ q, k, v }, expected.out, dout, shape, variant.rows);
    names.forEach((label, i) => {
      expectWithin(values[i]!, expected[label], bound[label], label);
    });
  });

  test('is what an adapter without equal subgroups takes', () => {
    const { adapter } = context.device;
    const chosen = attentionVariant({ ...adapter, subgroupSize: 0 });
    if (chosen.subgroups) throw new Error('a variant with subgroups was chosen');
  });
});
