/**
 * The kernels that rely on subgroups at 32 and 64 lanes, which GPUs have and no software adapter has: within the bounds
 * of their cases, with subgroup operations that go through workgroup memory; in f16 on an adapter that has it.
 */
import { describe, expect, test } from 'vitest';
import { attentionCases } from '../../src/cases/attention.js';
import type { Alter } from '../../src/cases/bench.js';
import type { Case } from '../../src/cases/case.js';
import { crossEntropyCase, hitsCase } from '../../src/cases/cross-entropy.js';
import { gradientNormCase, gradientNormPartialCase } from '../../src/cases/gradient-norm.js';
import { headNormBackwardCase, headNormForwardCase } from '../../src/cases/head-norm.js';
import { matmulCase, matmulSwigluCase } from '../../src/cases/matmul.js';
import { rmsnormBackwardCase, rmsnormForwardCase } from '../../src/cases/rmsnorm.js';
import { type VariantOf, VariantTable } from '../../src/kernels/variants.js';
import { faultsOf } from '../support/cases.js';
import { useDevice } from '../support/gpu.js';
import { wideLanes } from '../support/wide-lanes.js';

const context = useDevice();
const allOf = (type: 'f32' | 'f16') => ({ a: type, b: type, c: type });

/** Variants of `lanes`: products shared by broadcast, of a few rows, attention on whole rows, and rows. */
const subgroupProduct = (lanes: number) =>
  ({ matmul: { kernel: 'subgroup', lanes, groups: 1, columns: 1, unroll: 1 } }) as const;
const fewRows = (lanes: number) => ({ matmul: { kernel: 'rows', lanes, teams: 2, columns: 2, unroll: 2 } }) as const;
const attention = (lanes: number) => ({ attention: { lanes, own: 1, rows: 1 } }) as const;
const oneSubgroup = (lanes: number) => ({ rows: { lanes, workgroup: lanes, vector: 1 } }) as const;
const twoSubgroups = (lanes: number) => ({ rows: { lanes, workgroup: 2 * lanes, vector: 4 } }) as const;

/** What is wrong with a case in a variant on subgroups of `lanes`; at least one of its kernels has to rely on them. */
async function faults(one: Case, lanes: number, variant: Partial<VariantOf>, alter: Alter = call => call) {
  const { device } = context;
  let isWide = false;
  const widened = wideLanes(lanes, 2 * lanes);
  const table = new VariantTable({ ...device.adapter, subgroupSizes: [lanes] }, {}, variant);
  const options = {
    fillWorkgroups: false,
    alter: ((call, on) => {
      isWide ||= call.lanes === lanes;
      return widened(alter(call, on), on);
    }) satisfies Alter,
  };
  const found = await faultsOf(device, { ...one, variants: [{ name: 'wide', table }] }, options);
  expect(isWide, `${one.kernel} on ${lanes} lanes`).toBe(true);
  return [...found.values()];
}

/** By name: cases of sizes that are no multiples of the lanes, in more than one workgroup. */
function casesOf(lanes: number, type: 'f32' | 'f16'): Record<string, readonly [Case, Partial<VariantOf>]> {
  const types = allOf(type);
  const product = (form: 'NN' | 'NT' | 'TN') =>
    [matmulCase({ form, M: lanes + 3, N: lanes + 5, K: 7, types }), subgroupProduct(lanes)] as const;
  const attentions = Object.entries(attentionCases({ B: 1, T: lanes + 6, H: 2, KV: 1, D: 40, type }));
  return {
    'product NN': product('NN'),
    'product NT': product('NT'),
    'product TN': product('TN'),
    'product and SwiGLU': [matmulSwigluCase({ M: 5, F: lanes + 5, K: 9, type }), subgroupProduct(lanes)],
    'product of a few rows': [matmulCase({ form: 'NT', M: 3, N: 11, K: 4 * lanes + 12, types }), fewRows(lanes)],
    RMSNorm: [rmsnormForwardCase({ rows: 5, columns: 90, type }), oneSubgroup(lanes)],
    'RMSNorm of two subgroups': [rmsnormForwardCase({ rows: 5, columns: 600, type }), twoSubgroups(lanes)],
    'gradient of RMSNorm': [rmsnormBackwardCase({ rows: 19, columns: 600, type }), twoSubgroups(lanes)],
    'norms over heads': [headNormForwardCase({ rows: 5, H: 4, KV: 2, D: 80, kind: 'queries', type }), {}],
    'gradient of norms over heads': [headNormBackwardCase({ rows: 19, H: 4, KV: 2, D: 80, kind: 'keys', type }), {}],
    'cross-entropy': [crossEntropyCase({ rows: 5, columns: 300, type }), oneSubgroup(lanes)],
    'cross-entropy of two subgroups': [crossEntropyCase({ rows: 5, columns: 300, type }), twoSubgroups(lanes)],
    ...Object.fromEntries(attentions.map(([name, one]) => [name, [one, attention(lanes)] as const])),
    ...(type === 'f32' && {
      hits: [hitsCase({ rows: 11, columns: 300 }), twoSubgroups(lanes)] as const,
      'parts of the gradient norm': [gradientNormPartialCase({ count: 5000 }), {}] as const,
      'gradient norm': [gradientNormCase({ parts: 300, clip: 1, isScaled: false }), {}] as const,
    }),
  };
}

describe.each([
  [32, 'f32'],
  [64, 'f32'],
  [32, 'f16'],
  [64, 'f16'],
] as const)('%i lanes, %s', (lanes, type) => {
  const cases = Object.entries(casesOf(lanes, type));
  test.each(cases)('%s', { timeout: 120_000 }, async (_, [one, variant]) => {
    if (type === 'f16' && !context.device.adapter.features.includes('shader-f16')) return;
    expect(await faults(one, lanes, variant)).toEqual([]);
  });
});

/** A call with a text of its source replaced, wherever it stands. */
const planted = (from: string, to: string): Alter => {
  return call => ({ ...call, source: call.source.replaceAll(from, to) });
};

describe('bugs that only more lanes than 32 show', () => {
  const types = allOf('f32');
  const product = (lanes: number) => matmulCase({ form: 'NT', M: lanes, N: 5, K: 3, types });
  const few = matmulCase({ form: 'NT', M: 1, N: 3, K: 512, types });
  const norm = rmsnormForwardCase({ rows: 2, columns: 90, type: 'f32' });
  test.each([
    ['a broadcast from lane 40 comes from lane 8', product, subgroupProduct, ', 40u)', ', 8u)'],
    ['the last level of a sum is left out', () => few, fewRows, '1u << 5u', '1u << 4u'],
    ['lanes from 32 on take the columns of others', () => norm, oneSubgroup, 'c = thread;', 'c = thread % 32u;'],
  ] as const)('%s', { timeout: 120_000 }, async (_, caseOf, variantOf, from, to) => {
    const bug = planted(from, to);
    expect(await faults(caseOf(32), 32, variantOf(32), bug)).toEqual([]);
    expect(await faults(caseOf(64), 64, variantOf(64), bug)).not.toEqual([]);
  });
});
