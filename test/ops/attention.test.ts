/** Attention through the graph that training uses, both passes; and tiles that no adapter takes by default. */
import { describe, expect, test } from 'vitest';
import { storedTypes } from '../../src/audit/problem.js';
import { Graph } from '../../src/autograd/graph.js';
import { attentionCases, attentionExpected } from '../../src/cases/attention.js';
import { attentionSizes } from '../../src/cases/sizes.js';
import {
  type AttentionKernel,
  defaultAttention,
  rowsAtATime,
  type TiledAttention,
} from '../../src/kernels/attention-variant.js';
import { defaultLanes } from '../../src/kernels/lanes.js';
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
  const rescale = rowsAtATime(defaultAttention(device.adapter, { kernel: 'attention_forward', sizes }));
  const expected = attentionExpected(one.inputs.qkv!.values, one.inputs.dout!.values, sizes, { type, rescale });
  expectWithin(actual!, expected.out.reference, expected.out.bound, 'out');
  expectWithin(dqkv!, expected.dqkv.reference, expected.dqkv.bound, 'dqkv');
});

/** More than one block and vector each; tiles that heads of 24 do not fill; one thread along the head. */
const tiles: TiledAttention[] = [
  { threadsM: 4, threadsN: 2, blocks: 2, depth: 4 },
  { threadsM: 2, threadsN: 8, blocks: 1, depth: 8 },
  { threadsM: 8, threadsN: 1, blocks: 1, depth: 4 },
];

describe('in tiles', () => {
  test.each(attentionSizes.filter(({ D }) => D <= 24))('B $B T $T heads $H/$KV size $D', async sizes => {
    const { device } = context;
    for (const attention of tiles) {
      const variants = [
        { name: JSON.stringify(attention), table: new VariantTable(device.adapter, {}, { attention }) },
      ];
      const cases = attentionCases({ ...sizes, type: 'f32', rescale: rowsAtATime(attention) });
      for (const one of Object.values(cases)) {
        expect([...(await faultsOf(device, { ...one, variants })).values()]).toEqual([]);
      }
    }
  });

  test.each([
    ...[32, 64, 80, 96, 128, 256].map(D => ({ B: 1, T: 70, H: 2, KV: 1, D })),
    { B: 1, T: 130, H: 8, KV: 1, D: 64 },
    { B: 2, T: 70, H: 4, KV: 2, D: 10 },
  ])('as hardware takes them, B $B T $T heads $H/$KV size $D', async sizes => {
    const { device } = context;
    // SwiftShader takes half a minute to compile what holds many registers across a barrier
    if (defaultLanes(device.adapter) === 4 && sizes.D !== 10) return;
    const hardware = { ...device.adapter, kind: 'hardware' } as const;
    // halves are read and written by the same lines at all sizes
    const types =
      sizes.D === 64 || sizes.D === 10 ? storedTypes({ adapter: device.adapter, quick: false }) : (['f32'] as const);
    for (const type of types) {
      const rescale = rowsAtATime(defaultAttention(hardware, { kernel: 'attention_backward_query', sizes }));
      for (const [kernel, one] of Object.entries(attentionCases({ ...sizes, type, rescale }))) {
        const attention = defaultAttention(hardware, { kernel: kernel as AttentionKernel, sizes });
        const variants = [{ name: 'tiles', table: new VariantTable(device.adapter, {}, { attention }) }];
        expect([...(await faultsOf(device, { ...one, variants })).values()]).toEqual([]);
      }
    }
  });
});
