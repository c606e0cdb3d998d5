/** Attention on subgroup matrices: against float64 where an adapter runs them, and as far as WGSL goes elsewhere. */
import { describe, expect, test } from 'vitest';
import { attentionCases } from '../../src/cases/attention.js';
import type { AttentionKernel, MatrixAttention } from '../../src/kernels/attention-variant.js';
import { matrixShapes } from '../../src/kernels/matmul-variant.js';
import { type KernelRequest, VariantTable } from '../../src/kernels/variants.js';
import { Checker } from '../../src/tune/check.js';
import { callsOf } from '../support/cases.js';
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

describe('attention on subgroup matrices', () => {
  // a head that is whole matrices, and one that is neither whole matrices nor whole vectors
  test.each(KERNELS.flatMap(kernel => [24, 30].map(D => [kernel, D] as const)))(
    '%s, heads of %i: within the bounds of float64',
    async (kernel, D) => {
      const { device } = context;
      const [matrix] = matrixShapes(device.adapter);
      const lanes = device.adapter.subgroupSizes[0]!;
      // Mesa's llvmpipe crashes compiling a multiply-accumulate of matrices with 16 lanes
      if (!matrix || !has('shader-f16') || (device.adapter.kind !== 'hardware' && lanes !== 8)) return;
      const variant: MatrixAttention = { lanes, matrix, subgroupsM: 2, rows: 16 };
      const checker = new Checker(device);
      expect(await checker.findFault(request(kernel, D), variant)).toBeUndefined();
    },
  );

  test.each([
    [8, 8, 8],
    [16, 16, 16],
    [16, 8, 16],
    [8, 16, 16],
  ] as const)('%i x %i x %i: every kernel compiles, as far as WGSL goes', async (...matrix) => {
    const { device } = context;
    if (!has('chromium-experimental-subgroup-matrix')) return;
    const variant: MatrixAttention = { lanes: 32, matrix, subgroupsM: 2, rows: 32 };
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
