import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { attentionCall, attentionOperands } from '../../src/kernels/attention.js';
import { type AttentionVariant, defaultAttention } from '../../src/kernels/attention-variant.js';
import { attention as attention64, attentionBackward } from '../../src/numerics/attention.js';
import { attentionBounds } from '../../src/numerics/attention-bounds.js';
import { storedBound } from '../../src/numerics/bounds.js';
import { attentionCases } from '../../src/numerics/cases.js';
import { attention } from '../../src/ops/attention.js';
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

type Shape = (typeof attentionCases)[number]['shape'];

function inputsOf(name: string, { B, T, H, KV, D }: Shape, values = uniform) {
  const q = values(`q ${name}`, B * T * H * D);
  const [k, v] = [values(`k ${name}`, B * T * KV * D), values(`v ${name}`, B * T * KV * D)];
  return { q, k, v, dout: values(`dout ${name}`, B * T * H * D), qkv: sideBySide([q, k, v], B * T) };
}

/** out, dq, dk, dv within their bounds. */
function expectGradients(
  shape: Shape,
  { q, k, v, dout }: ReturnType<typeof inputsOf>,
  actual: { readonly out: Float32Array; readonly dqkv: Float32Array },
  rescale: number,
  type: 'f32' | 'f16' = 'f32',
): void {
  const { B, T, H, KV, D } = shape;
  const expected = attention64({ q, k, v }, shape);
  const gradient = attentionBackward({ q, k, v }, dout, shape);
  const bound = attentionBounds({ q, k, v }, expected.out, dout, shape, { rescale, type });
  expectWithin(actual.out, expected.out, bound.out, 'out');
  const [dq, dk, dv] = parts(actual.dqkv, B * T, [H * D, KV * D, KV * D]);
  expectWithin(dq!, gradient.dq, storedBound(bound.dq, gradient.dq, type), 'dq');
  expectWithin(dk!, gradient.dk, storedBound(bound.dk, gradient.dk, type), 'dk');
  expectWithin(dv!, gradient.dv, storedBound(bound.dv, gradient.dv, type), 'dv');
}

describe('attention, forward and backward, row by row', () => {
  test.each(attentionCases)('$name', async ({ name, shape }) => {
    const { device } = context;
    const { B, T, H, KV, D } = shape;
    const given = inputsOf(name, shape);
    const graph = new Graph();
    const QKV = parameter(device, 'qkv', [B * T, (H + 2 * KV) * D], given.qkv);
    const out = attention(graph, QKV, shape);
    backwardFrom(graph, out, input(device, 'dout', [B * T, H * D], given.dout));
    const [actual, dqkv] = await run(device, graph, [out, QKV.gradient!]);
    expectGradients(
      shape,
      given,
      { out: actual!, dqkv: dqkv! },
      defaultAttention(device.adapter, 'attention_forward').rows,
    );
  });

  test.each(attentionCases.filter(({ shape }) => shape.D <= 32))('$name, in f16', async ({ name, shape }) => {
    const { device } = context;
    if (!device.adapter.features.includes('shader-f16')) return;
    const { B, T, H, KV, D } = shape;
    const given = inputsOf(name, shape, halfUniform);
    const graph = new Graph();
    const QKV = parameter(device, 'qkv', [B * T, (H + 2 * KV) * D], given.qkv, 'f16');
    const out = attention(graph, QKV, shape);
    backwardFrom(graph, out, input(device, 'dout', [B * T, H * D], given.dout, 'f16'));
    const [actual, dqkv] = await run(device, graph, [out, QKV.gradient!]);
    const rescale = defaultAttention(device.adapter, 'attention_forward').rows;
    expectGradients(shape, given, { out: actual!, dqkv: dqkv! }, rescale, 'f16');
  });
});

const workgroupVariants: AttentionVariant[] = [
  { subgroups: false, workgroup: 64, own: 1, rows: 8 },
  { subgroups: false, workgroup: 8, own: 2, rows: 3 },
];

describe.each(workgroupVariants)('through workgroup memory: $workgroup threads, $own rows each', variant => {
  const cases = attentionCases.filter(({ shape }) => shape.D <= 24);
  test.each(cases)('$name', async ({ name, shape }) => {
    const { device } = context;
    const { B, T, H } = shape;
    const given = inputsOf(name, shape);
    const zero = (label: string, count: number) => input(device, label, [count], new Float64Array(count));
    const tensors = {
      qkv: input(device, 'qkv', [given.qkv.length], given.qkv),
      dout: input(device, 'dout', [given.dout.length], given.dout),
      out: zero('out', given.q.length),
      dqkv: zero('dqkv', given.qkv.length),
      logsumexp: zero('logsumexp', B * H * T),
      delta: zero('delta', B * H * T),
    };
    const { out, dqkv } = tensors;
    const graph = new Graph();
    graph.add({
      op: 'attention',
      inputs: [],
      outputs: [],
      updates: Object.values(tensors),
      launch: (_, bind) =>
        (['attention_forward', 'attention_backward_query', 'attention_backward_key_value'] as const).map(kernel =>
          attentionCall(
            kernel,
            variant,
            shape,
            attentionOperands(kernel, name => bind(tensors[name])),
          ),
        ),
    });
    const [actualOut, actualDqkv] = await run(device, graph, [out, dqkv]);
    expectGradients(shape, given, { out: actualOut!, dqkv: actualDqkv! }, variant.rows);
  });

  test('is what an adapter without equal subgroups takes', () => {
    const { adapter } = context.device;
    expect(defaultAttention({ ...adapter, subgroupSize: 0 }, 'attention_forward').subgroups).toBe(false);
  });
});
