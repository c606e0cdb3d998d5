/**
 * Matrix products in windows of a binding, matrices of shapes that other adapters have, and what is taken by default.
 */
import { describe, expect, test } from 'vitest';
import { fewRowsVariants, matmulVariants } from '../../src/audit/variants.js';
import { type DType, rangeOf } from '../../src/autograd/tensor.js';
import { MATMUL_TYPES, type MatmulTypes, matmulCase } from '../../src/cases/matmul.js';
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import { matmulCalls } from '../../src/kernels/matmul.js';
import { defaultMatmul, type MatmulForm, type MatmulVariant } from '../../src/kernels/matmul-variant.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { faultsOf } from '../support/cases.js';
import { input, useDevice } from '../support/gpu.js';

const context = useDevice();
const forms: readonly MatmulForm[] = ['NN', 'NT', 'TN'];
const F32 = MATMUL_TYPES[0];
const HALF = MATMUL_TYPES.filter(types => Object.values<string>(types).includes('f16'));
/** Those of a model in f32 whose weights are stored in two bytes. */
const STORED = MATMUL_TYPES.filter(({ a, b, c }) => a === 'f32' && b !== 'f32' && c === 'f32');

// of 5 x 67 x 35 rows begin in the middle of a word, and so do windows of seven rows of B or 13
describe.each([
  { M: 37, N: 250, K: 96 },
  { M: 5, N: 67, K: 35 },
])('M $M N $N K $K, B of two bytes a value, whole and in windows', sizes => {
  test.each(forms)('form %s', async form => {
    const { device } = context;
    const { adapter } = device;
    const { M, N, K } = sizes;
    const rowBytes = 4 * Math.max(form === 'TN' ? M : K, N);
    const small = { ...adapter, limits: { ...adapter.limits, maxStorageBufferBindingSize: 256 + 3.5 * rowBytes } };
    for (const types of STORED.filter(({ b }) => b === 'bf16' || adapter.features.includes('shader-f16'))) {
      const one = matmulCase({ form, ...sizes, types, epilogue: 'accumulate' });
      const fewRows = form === 'NT' ? fewRowsVariants(adapter) : [];
      const variants = [...matmulVariants(adapter, { form, types }), ...fewRows].flatMap(([name, matmul]) => [
        { name, table: new VariantTable(adapter, {}, { matmul }) },
        { name: `${name}, in windows`, table: new VariantTable(small, {}, { matmul }) },
      ]);
      expect([...(await faultsOf(device, { ...one, variants })).values()]).toEqual([]);
    }
  });
});

describe('subgroup matrices of shapes that other adapters have', () => {
  const shapes = [
    [16, 16, 16],
    [8, 16, 16],
    [16, 8, 16],
  ] as const;
  const operand = (type: DType, count: number) => input(context.device, type, [count], new Float64Array(count), type);

  test.each(shapes)('%i x %i x %i: every form compiles, as far as WGSL goes', async (...matrix) => {
    const { device } = context;
    if (!device.adapter.features.includes('chromium-experimental-subgroup-matrix')) return;
    const [M, N, K] = [64, 128, 96];
    for (const form of forms) {
      for (const { a, b, c } of HALF) {
        const variant: MatmulVariant = {
          kernel: 'matrix',
          lanes: 32,
          matrix,
          subgroupsM: 2,
          subgroupsN: 2,
          rows: 2,
          columns: 2,
          depth: 32,
        };
        const operands = { a: operand(a, M * K), b: operand(b, K * N), c: operand(c, M * N) };
        const bound = Object.fromEntries(
          Object.entries(operands).map(([name, tensor]) => [name, rangeOf(tensor, tensor.buffer!)]),
        ) as Record<'a' | 'b' | 'c', ReturnType<typeof rangeOf>>;
        const [call] = matmulCalls(variant, { form, M, N, K }, bound);
        const messages = await device.diagnose(call!.source);
        expect(messages.filter(message => message.startsWith('error'))).toEqual([]);
        const broken = await device.diagnose(call!.source.replace('subgroup_matrix_left', 'subgroup_matrix_wrong'));
        expect(broken.some(message => message.startsWith('error'))).toBe(true);
        for (const { buffer } of Object.values(operands)) buffer!.destroy();
      }
    }
  });
});

describe('what an adapter takes by default', () => {
  const types: MatmulTypes = { a: 'f16', b: 'f16', c: 'f16' };
  const request = { form: 'NT', M: 512, N: 512, K: 512 } as const;
  const hardware = (): AdapterDescription => ({
    ...context.device.adapter,
    kind: 'hardware',
    subgroupSizes: [32],
    features: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'],
    subgroupMatrices: [{ operand: 'f16', result: 'f32', M: 16, N: 16, K: 16 }],
  });

  test('subgroup matrices for halves, where it has them; tiles otherwise', () => {
    expect(defaultMatmul(hardware(), { ...request, types })).toMatchObject({ kernel: 'matrix', rows: 4, columns: 4 });
    for (const types of [F32, ...STORED]) {
      expect(defaultMatmul(hardware(), { ...request, types }).kernel).toBe('tiled');
    }
    expect(defaultMatmul({ ...hardware(), subgroupMatrices: [] }, { ...request, types }).kernel).toBe('tiled');
    expect(defaultMatmul({ ...hardware(), subgroupSizes: [] }, { ...request, types }).kernel).toBe('tiled');
  });

  test('the kernel of a few rows for up to eight of them, against weights, on hardware', () => {
    for (const [M, form, kernel] of [
      [1, 'NT', 'rows'],
      [8, 'NT', 'rows'],
      [9, 'NT', 'tiled'],
      [8, 'NN', 'tiled'],
      [8, 'TN', 'tiled'],
    ] as const) {
      for (const types of [F32, ...STORED]) {
        // f32 with f16 in a gradient of weights is of a model in f16
        const expected = form === 'TN' && types.b === 'f16' ? 'matrix' : kernel;
        expect(defaultMatmul(hardware(), { ...request, form, M, types }).kernel, `${form} ${M}`).toBe(expected);
      }
      expect(defaultMatmul(hardware(), { ...request, form, M, types }).kernel).toBe(
        kernel === 'rows' ? 'rows' : 'matrix',
      );
    }
    expect(defaultMatmul(hardware(), { ...request, M: 1, types })).toMatchObject({ lanes: 32 });
    expect(defaultMatmul({ ...hardware(), subgroupSizes: [] }, { ...request, M: 1, types })).toMatchObject({
      lanes: 0,
    });
    const software = { ...hardware(), kind: 'system software', subgroupSizes: [8] } as const;
    expect(defaultMatmul(software, { ...request, M: 1, types }).kernel).toBe('subgroup');
  });
});
