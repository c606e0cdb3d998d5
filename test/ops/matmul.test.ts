import { describe, expect, test } from 'vitest';
import { MATMUL_TYPES, type MatmulTypes, matmulVariants } from '../../src/audit/variants.js';
import { Graph } from '../../src/autograd/graph.js';
import { type DType, rangeOf } from '../../src/autograd/tensor.js';
import type { AdapterDescription } from '../../src/gpu/adapters.js';
import { matmulCalls } from '../../src/kernels/matmul.js';
import { defaultMatmul, type MatmulForm, type MatmulVariant } from '../../src/kernels/matmul-variant.js';
import { matmulBound, storedBound } from '../../src/numerics/bounds.js';
import { matmulCases } from '../../src/numerics/cases.js';
import { type Format, stored } from '../../src/numerics/inputs.js';
import * as reference from '../../src/numerics/reference.js';
import { expectWithin, halfUniform, input, run, uniform, useDevice } from '../support/gpu.js';

const context = useDevice();
const forms: readonly MatmulForm[] = ['NN', 'NT', 'TN'];
const epilogues = ['none', 'addend', 'accumulate'] as const;
type Types = MatmulTypes;
const F32 = MATMUL_TYPES[0]!;
const HALF = MATMUL_TYPES.filter(types => Object.values(types).includes('f16'));
/** Those of a model in f32 whose weights are stored in two bytes. */
const STORED = MATMUL_TYPES.filter(({ a, b, c }) => a === 'f32' && b !== 'f32' && c === 'f32');
/** Those that an adapter cannot run are skipped; the chosen one has another name on each. */
const VARIANTS = ['chosen', 'tiled 4 x 4', 'tiled 8 x 8', 'matrix 2 x 1', 'matrix 1 x 2'];

function variantOf(name: string, adapter: AdapterDescription, types: Types): MatmulVariant | undefined {
  const variants = matmulVariants(adapter, types);
  return name === 'chosen' ? [...variants.values()][0] : variants.get(name);
}

async function check(
  variant: MatmulVariant,
  form: MatmulForm,
  types: Types,
  name: string,
  shape: { M: number; N: number; K: number },
  tried: readonly (typeof epilogues)[number][] = epilogues,
  maxBindingBytes?: number,
) {
  const { device } = context;
  const { M, N, K } = shape;
  const shapes = { ...shape, transposeA: form === 'TN', transposeB: form === 'NT' };
  const values = (label: string, count: number, dtype: DType) =>
    stored(uniform(`${label} ${name}`, count), dtype as Format);
  // what goes through matrices is rounded to f16 first
  const a = variant.kernel === 'matrix' ? halfUniform(`a ${name}`, M * K) : values('a', M * K, types.a);
  const b = values('b', K * N, types.b);
  const addend = values('c', M * N, types.c);
  const product = reference.matmul(a, b, shapes);
  const magnitudes = reference.matmul(a, b, shapes, true);
  const [A, B] = [input(device, 'a', [M * K], a, types.a), input(device, 'b', [K * N], b, types.b)];
  for (const epilogue of tried) {
    const C = input(device, 'c', [M * N], addend, types.c);
    const other = input(device, 'addend', [M * N], addend, types.c);
    const graph = new Graph();
    graph.add({
      op: 'matmul',
      inputs: [A, B, other],
      outputs: [],
      updates: [C],
      launch: (_, bind) =>
        matmulCalls(
          variant,
          { form, M, N, K },
          {
            a: bind(A),
            b: bind(B),
            c: bind(C),
            addend: { none: undefined, addend: bind(other), accumulate: 'c' as const }[epilogue],
          },
          maxBindingBytes,
        ),
    });
    const [actual] = await run(device, graph, [C]);
    const withAddend = epilogue !== 'none';
    const expected = withAddend ? product.map((value, i) => value + addend[i]!) : product;
    const bound = matmulBound(magnitudes, K, withAddend ? addend : undefined);
    expectWithin(actual!, expected, storedBound(bound, expected, types.c as 'f32' | 'f16'), epilogue);
    for (const tensor of [C, other]) tensor.buffer!.destroy();
  }
  for (const tensor of [A, B]) tensor.buffer!.destroy();
}

/** One element, odd edges, and whole vectors across a tile's edge: each is another kernel to compile. */
const edges = matmulCases.filter(({ name }) => ['M 1 N 1 K 1', 'M 17 N 65 K 15', 'M 37 N 250 K 96'].includes(name));

const storedCases = [edges[2]!, { name: 'M 5 N 67 K 35', shape: { M: 5, N: 67, K: 35 } }];

describe.each(VARIANTS)('matmul, %s', variant => {
  describe.each(forms)('form %s', form => {
    const cases = variant === 'chosen' ? matmulCases : edges;
    test.each(cases)('$name within γ_K Σ|ab| of float64', async ({ name, shape }) => {
      const chosen = variantOf(variant, context.device.adapter, F32);
      if (chosen) await check(chosen, form, F32, name, shape);
    });

    test.each(edges)('$name, of halves', async ({ name, shape }) => {
      const { adapter } = context.device;
      if (!adapter.features.includes('shader-f16')) return;
      for (const [i, types] of HALF.entries()) {
        const chosen = variantOf(variant, adapter, types);
        if (chosen) await check(chosen, form, types, name, shape, [epilogues[i % epilogues.length]!]);
      }
    });

    // of 5 x 67 x 35 rows begin in the middle of a word, and so do windows of seven rows of B or 13
    test.each(storedCases)('$name, B of two bytes a value, whole and in windows', async ({ name, shape }) => {
      const { adapter } = context.device;
      const { M, N, K } = shape;
      const rowBytes = 4 * Math.max(form === 'TN' ? M : K, N);
      for (const types of STORED) {
        const chosen = variantOf(variant, adapter, types);
        if (!chosen || (types.b === 'f16' && !adapter.features.includes('shader-f16'))) continue;
        await check(chosen, form, types, name, shape, ['accumulate']);
        await check(chosen, form, types, name, shape, ['accumulate'], 256 + 3.5 * rowBytes);
      }
    });
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
  const types: Types = { a: 'f16', b: 'f16', c: 'f16' };
  const request = { form: 'NT', M: 512, N: 512, K: 512 } as const;
  const hardware = (): AdapterDescription => ({
    ...context.device.adapter,
    kind: 'hardware',
    subgroupSize: 32,
    features: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'],
    subgroupMatrices: [{ operand: 'f16', result: 'f32', M: 16, N: 16, K: 16 }],
  });

  test('subgroup matrices for halves, where it has them; tiles otherwise', () => {
    expect(defaultMatmul(hardware(), { ...request, types })).toMatchObject({ kernel: 'matrix', rows: 4, columns: 4 });
    for (const types of [F32, ...STORED]) {
      expect(defaultMatmul(hardware(), { ...request, types }).kernel).toBe('tiled');
    }
    expect(defaultMatmul({ ...hardware(), subgroupMatrices: [] }, { ...request, types }).kernel).toBe('tiled');
    expect(defaultMatmul({ ...hardware(), subgroupSize: 0 }, { ...request, types }).kernel).toBe('tiled');
  });
});
