/** Attention through the graph that training uses, both passes; and tiles that no adapter takes by default. */

import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import { attentionCases, attentionExpected } from '../../src/cases/attention.js';
import { attentionSizes } from '../../src/cases/sizes.js';
import { defaultAttention, type RegisterAttention } from '../../src/kernels/attention-variant.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { attention } from '../../src/ops/attention.js';
import { caseInput, caseParameter, faultsOf } from '../support/cases.js';
import { backwardFrom, expectWithin, run, useDevice } from '../support/gpu.js';

const context = useDevice();

test.each([
  ['f32', { B: 1, T: 37, H: 4, KV: 2, D: 24 }],
  ['f32', { B: 1, T: 33, H: 4, KV: 1, D: 64 }],
  ['f16', { B: 2, T: 15, H: 3, KV: 3, D: 16 }],
] as const)('in %s, %o', async (type, sizes) => {
  const { device } = context;
  if (type === 'f16' && !device.adapter.features.includes('shader-f16')) return;
  const { B, T, H, KV, D } = sizes;
  const one = attentionCases({ ...sizes, type }).attention_backward_query;
  const graph = new Graph();
  const qkv = caseParameter(device, one, 'qkv', [B * T, (H + 2 * KV) * D]);
  const out = attention(graph, qkv, sizes);
  backwardFrom(graph, out, caseInput(device, one, 'dout', [B * T, H * D]));
  const [actual, dqkv] = await run(device, graph, [out, qkv.gradient!]);
  const { rows: rescale } = defaultAttention(device.adapter, 'attention_forward');
  const expected = attentionExpected(one.inputs.qkv!.values, one.inputs.dout!.values, sizes, { type, rescale });
  expectWithin(actual!, expected.out.reference, expected.out.bound, 'out');
  expectWithin(dqkv!, expected.dqkv.reference, expected.dqkv.bound, 'dqkv');
});

const tiles: RegisterAttention[] = [
  { subgroups: false, workgroup: 64, own: 1, rows: 8 },
  { subgroups: false, workgroup: 8, own: 2, rows: 3 },
];

describe('through workgroup memory', () => {
  test.each(attentionSizes.filter(({ D }) => D <= 24))('B $B T $T heads $H/$KV size $D', async sizes => {
    const { device } = context;
    for (const attention of tiles) {
      const variants = [
        { name: `${attention.own} rows each`, table: new VariantTable(device.adapter, {}, { attention }) },
      ];
      const cases = attentionCases({ ...sizes, type: 'f32', rescale: attention.rows });
      for (const one of Object.values(cases)) {
        expect([...(await faultsOf(device, { ...one, variants })).values()]).toEqual([]);
      }
    }
  });

  test('is what an adapter without equal subgroups takes', () => {
    const { adapter } = context.device;
    expect(defaultAttention({ ...adapter, subgroupSizes: [] }, 'attention_forward').subgroups).toBe(false);
  });
});
