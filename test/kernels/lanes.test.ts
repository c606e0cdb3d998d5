/** Subgroups of a size that a kernel asks for: on adapters that have several sizes, and pinned on this one. */
import { describe, expect, test } from 'vitest';
import { attentionCases } from '../../src/cases/attention.js';
import type { Alter } from '../../src/cases/bench.js';
import { rmsnormForwardCase } from '../../src/cases/rmsnorm.js';
import { type AdapterDescription, showLanes } from '../../src/gpu/adapters.js';
import { defaultLanes, lanesToTry, withLanes } from '../../src/kernels/lanes.js';
import { defaultMatmul } from '../../src/kernels/matmul-variant.js';
import { defaultRows } from '../../src/kernels/row-variant.js';
import { type KernelRequest, VariantTable } from '../../src/kernels/variants.js';
import { candidatesFor, refusal } from '../../src/tune/candidates.js';
import { kindOf } from '../../src/tune/kinds/index.js';
import { callsOf, faultsOf } from '../support/cases.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();

/** A GPU whose subgroups have `sizes`, with matrices of 16 x 16 x 16. */
const gpu = (...sizes: number[]): AdapterDescription => ({
  ...context.device.adapter,
  kind: 'hardware',
  subgroupSizes: sizes,
  features: ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix', 'subgroup-size-control'],
  subgroupMatrices: [{ operand: 'f16', result: 'f32', M: 16, N: 16, K: 16 }],
  limits: {
    ...context.device.adapter.limits,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxComputeWorkgroupSizeX: 1024,
    maxComputeWorkgroupStorageSize: 65536,
  },
});

const sizes = { B: 1, T: 64, H: 2, KV: 1, D: 64 };
const types = { a: 'f16', b: 'f16', c: 'f16' } as const;
const product = { form: 'NT', M: 256, N: 256, K: 256, types } as const;
const requests = (['f32', 'f16'] as const).flatMap((type): KernelRequest[] => [
  { kind: 'matmul', key: type, calls: 1, request: { ...product, types: { a: type, b: type, c: type } } },
  { kind: 'rows', key: type, calls: 1, request: { kernel: 'rmsnorm_backward', rows: 9, columns: 768, type } },
  ...(['attention_forward', 'attention_backward_query', 'attention_backward_key_value'] as const).map(
    kernel => ({ kind: 'attention', key: `${kernel} ${type}`, calls: 1, request: { kernel, sizes, type } }) as const,
  ),
]);

const lanesOf = (adapter: AdapterDescription, request: KernelRequest) => {
  const allowed = candidatesFor(adapter, request).filter(({ refused }) => refused === undefined);
  const lanes = allowed.map(({ variant }) => kindOf(request).needs(request.request, variant).lanes);
  return [...new Set(lanes.filter(lanes => lanes !== undefined))].sort((a, b) => a - b);
};

describe('where the size can be chosen', () => {
  test.each([
    ['AMD', [32, 64], [32, 64], 32, '32-64 lanes'],
    ['Intel', [8, 16, 32], [16, 32], 16, '8-32 lanes'],
    ['Qualcomm', [64, 128], [64, 128], 64, '64-128 lanes'],
    ['NVIDIA', [32], [32], 32, '32 lanes'],
    ['SwiftShader', [4], [4], 4, '4 lanes'],
    ['none', [], [], 0, 'varies or none'],
  ] as const)('%s', (_, all, tried, shipped, shown) => {
    expect(lanesToTry(gpu(...all))).toEqual(tried);
    expect(defaultLanes(gpu(...all))).toBe(shipped);
    expect(showLanes(all)).toBe(shown);
    for (const request of requests) {
      const found = lanesOf(gpu(...all), request);
      // products shared by broadcast have a row a lane: of 128 they do not fit in registers
      if (request.kind === 'matmul') expect(found).toEqual(tried.filter(lanes => lanes < 128 || request.key === 'f16'));
      // attention shares nothing within subgroups but matrices, whose 16 rows its lanes divide; in the gradient two
      // subgroups own these rows, and 128 lanes would take 64 rows of keys at a time
      else if (request.kind === 'attention') {
        const fits = (lanes: number) => lanes % 16 === 0 && (lanes < 128 || request.key.includes('forward'));
        expect(found, request.key).toEqual(tried.filter(lanes => request.key.endsWith('f16') && fits(lanes)));
      } else expect(found, request.key).toEqual(tried);
    }
  });

  test('shipped products of halves take matrices, of the fewest lanes; rows take workgroup memory', () => {
    expect(defaultMatmul(gpu(32, 64), product)).toMatchObject({ kernel: 'matrix', lanes: 32, matrix: [16, 16, 16] });
    expect(defaultRows(gpu(32, 64))).toEqual(defaultRows(gpu()));
  });

  test('a variant of other lanes is refused by their number', () => {
    const [request] = requests;
    const variant = { kernel: 'subgroup', lanes: 128, groups: 1, columns: 2, unroll: 1 } as const;
    expect(refusal(gpu(32, 64), request!, variant)).toBe('subgroups of 128 lanes, the adapter has 32 or 64');
    expect(refusal(gpu(32), request!, variant)).toBe('subgroups of 128 lanes, the adapter has 32');
    expect(refusal(gpu(), request!, variant)).toBe('subgroups of 128 lanes, the adapter has no one size');
  });

  // the compiler's check of a size against a workgroup's threads comes with the pipeline, on the adapter itself
  test('every kernel of a variant asks for its lanes, in WGSL that compiles, and only there', async () => {
    const { device } = context;
    const [several, one] = [gpu(32, 64), gpu(32)];
    let pinned = 0;
    for (const request of requests.filter(
      ({ key }) => device.adapter.features.includes('shader-f16') || !key.endsWith('f16'),
    )) {
      const allowed = candidatesFor(several, request).filter(({ refused }) => refused === undefined);
      const ofLanes = (lanes: number | undefined) =>
        allowed.find(({ variant }) => kindOf(request).needs(request.request, variant).lanes === lanes)?.variant;
      for (const lanes of [undefined, 32, 64]) {
        const variant = ofLanes(lanes);
        if (!variant) continue;
        const table = new VariantTable(several, {}, { [request.kind]: variant });
        for (const call of callsOf(kindOf(request).caseOf(kindOf(request).small(request.request), variant), table)) {
          if (call.lanes === undefined) continue;
          const source = withLanes(several, call.source, call.lanes);
          expect(call.lanes).toBe(lanes);
          expect(source).toContain(`@compute @subgroup_size(${lanes}) @workgroup_size(`);
          expect(source.split('\n').length).toBe(call.source.split('\n').length);
          expect(withLanes(one, call.source, call.lanes)).toBe(call.source);
          const errors = (await device.diagnose(source)).filter(message => message.startsWith('error'));
          const isKnown = device.adapter.features.includes('chromium-experimental-subgroup-matrix');
          if (isKnown || !call.source.includes('subgroupMatrix')) expect(errors, call.label).toEqual([]);
          pinned++;
        }
      }
    }
    expect(pinned).toBeGreaterThanOrEqual(4); // products and rows, of both sizes; on adapters with halves attention too
  });
});

test('kernels that ask for the lanes that this adapter has compute the same', async () => {
  const { device } = context;
  const { adapter } = device;
  expect(adapter.features).toContain('subgroup-size-control'); // both software drivers have it
  const several = { ...adapter, subgroupSizes: [...adapter.subgroupSizes, 2 * adapter.subgroupSizes[0]!] };
  let pinned = 0;
  const alter: Alter = call => {
    const source = withLanes(several, call.source, call.lanes);
    if (source !== call.source) pinned++;
    return { ...call, source };
  };
  const cases = [
    rmsnormForwardCase({ rows: 5, columns: 90, type: 'f32' }),
    attentionCases({ B: 1, T: 21, H: 2, KV: 1, D: 12, type: 'f32' }).attention_forward,
  ];
  for (const one of cases) {
    const variants = [{ name: 'shipped', table: new VariantTable(adapter) }];
    expect([...(await faultsOf(device, { ...one, variants }, { alter, fillWorkgroups: false })).values()]).toEqual([]);
  }
  expect(pinned).toBe(2);
});
