/** Attention on subgroup matrices: against float64 where an adapter runs them, and as far as WGSL goes elsewhere. */
import { describe, expect, test } from 'vitest';
import { attentionCases } from '../../src/cases/attention.js';
import type { Alter } from '../../src/cases/bench.js';
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import { type AttentionKernel, isOnMatrices, type MatrixAttention } from '../../src/kernels/attention-variant.js';
import { defaultLanes } from '../../src/kernels/lanes.js';
import { matrixShapes, unusableMatrix } from '../../src/kernels/matmul-variant.js';
import { type KernelRequest, VariantTable } from '../../src/kernels/variants.js';
import { refusal } from '../../src/tune/candidates.js';
import { Checker } from '../../src/tune/check.js';
import { callsOf, faultsOf } from '../support/cases.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const KERNELS: readonly AttentionKernel[] = [
  'attention_forward',
  'attention_backward_query',
  'attention_backward_key_value',
];
const has = (feature: string) => context.device.adapter.features.includes(feature);

function request(kernel: AttentionKernel, D: number): KernelRequest {
  const sizes = { B: 1, T: 133, H: 4, KV: 2, D };
  return { kind: 'attention', key: kernel, calls: 1, request: { kernel, sizes, type: 'f16' } };
}

describe('what a GPU takes by default', () => {
  const gpu = (...shape: number[]): AdapterDescription => {
    const [M, N, K] = shape as [number, number, number];
    return {
      ...context.device.adapter,
      kind: 'hardware',
      subgroupSizes: [32, 64],
      features: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix', 'subgroup-size-control'],
      subgroupMatrices: [{ operand: 'f16', result: 'f32', M, N, K }],
    };
  };
  const shipped = (adapter: AdapterDescription, kernel: AttentionKernel, D: number, type: 'f16' | 'f32' = 'f16') =>
    new VariantTable(adapter).of('attention', { kernel, sizes: { B: 1, T: 64, H: 2, KV: 1, D }, type });

  test('matrices for halves of heads of up to 128 that there is room for, each choice one that the adapter runs', () => {
    const limits = { ...context.device.adapter.limits, maxComputeWorkgroupStorageSize: 32768 };
    const room = { ...limits, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256 };
    for (const shape of [
      [16, 16, 16],
      [8, 16, 16],
      [16, 8, 16],
      [16, 8, 8],
      [8, 8, 8],
    ]) {
      for (const kernel of KERNELS) {
        for (const D of [8, 30, 64, 96, 128]) {
          const adapter = { ...gpu(...shape), limits: room };
          const variant = shipped(adapter, kernel, D);
          // eight rows among 32 lanes leave no room for the gradient of wide heads in so little workgroup memory
          if (!isOnMatrices(variant)) {
            expect([shape[0], kernel !== 'attention_forward', D > 64], `${kernel} ${shape} ${D}`).toEqual([
              8,
              true,
              true,
            ]);
            continue;
          }
          expect(variant, `${shape}`).toMatchObject({ lanes: 32, matrix: shape });
          expect(refusal(adapter, request(kernel, D), variant), `${kernel} ${shape} ${D}`).toBeUndefined();
        }
        expect(isOnMatrices(shipped(gpu(...shape), kernel, 160))).toBe(false);
        expect(isOnMatrices(shipped(gpu(...shape), kernel, 64, 'f32'))).toBe(false);
        expect(isOnMatrices(shipped({ ...gpu(...shape), subgroupSizes: [] }, kernel, 64))).toBe(false);
        expect(isOnMatrices(shipped({ ...gpu(...shape), kind: 'system software' }, kernel, 64))).toBe(false);
      }
    }
  });
});

describe('attention on subgroup matrices', () => {
  // a head that is whole matrices, and one that is neither whole matrices nor whole vectors
  test.each(KERNELS.flatMap(kernel => [24, 30].map(D => [kernel, D] as const)))(
    '%s, heads of %i: within the bounds of float64',
    async (kernel, D) => {
      const { device } = context;
      const [matrix] = matrixShapes(device.adapter);
      const lanes = defaultLanes(device.adapter);
      if (!matrix || unusableMatrix(device.adapter, 'f16', matrix)) return;
      const variant: MatrixAttention = { lanes, matrix, subgroupsM: 2, blocks: 2, rows: 16 };
      const checker = new Checker(device);
      expect(await checker.findFault(request(kernel, D), variant)).toBeUndefined();
    },
  );

  // own rows that come in several slices, a workgroup with rows beyond T, and sums that are rescaled whenever a larger
  // score comes
  test.each([
    ['rows in slices', 'attention_backward_key_value', 72, 33, undefined],
    ['sums that are often rescaled', 'attention_forward', 16, 85, 'const HEADROOM = 0f;'],
  ] as const)('%s: within the bounds of float64', async (_, kernel, D, T, headroom) => {
    const { device } = context;
    const { adapter } = device;
    const [matrix] = matrixShapes(adapter);
    if (!matrix || unusableMatrix(adapter, 'f16', matrix)) return;
    const attention: MatrixAttention = { lanes: defaultLanes(adapter), matrix, subgroupsM: 2, blocks: 2, rows: 16 };
    const sizes = { B: 1, T, H: 2, KV: 1, D };
    const one = attentionCases({ ...sizes, type: 'f16', rescale: attention.rows, halves: true })[kernel];
    let altered = 0;
    const alter: Alter = call => {
      const source = headroom ? call.source.replace(/const HEADROOM = .*;/, headroom) : call.source;
      if (source !== call.source) altered++;
      return { ...call, source };
    };
    const variants = [{ name: 'matrices', table: new VariantTable(adapter, {}, { attention }) }];
    const faults = await faultsOf(device, { ...one, variants }, { alter, fillWorkgroups: false });
    expect([...faults.values()]).toEqual([]);
    expect(altered).toBe(headroom ? 1 : 0);
  });

  test.each([
    [8, 8, 8],
    [16, 16, 16],
    [16, 8, 16],
    [8, 16, 16],
  ] as const)('%i x %i x %i: every kernel compiles, as far as WGSL goes', async (...matrix) => {
    const { device } = context;
    if (!has('chromium-experimental-subgroup-matrix')) return;
    const variant: MatrixAttention = { lanes: 32, matrix, subgroupsM: 2, blocks: 2, rows: 32 };
    const table = new VariantTable(device.adapter, {}, { attention: variant });
    for (const D of [40, 90]) {
      const cases = attentionCases({ B: 1, T: 40, H: 2, KV: 1, D, type: 'f16' });
      for (const kernel of KERNELS) {
        const [call] = callsOf(cases[kernel], table);
        const errors = (await device.diagnose(call!.source)).filter(message => message.startsWith('error'));
        expect(errors, `${kernel} ${D}`).toEqual([]);
      }
    }
  });
});
