/** The audit passes on whole kernels, covers every one, and fails on each kernel that is broken on purpose. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Alter } from '../../src/audit/bench.js';
import { auditKernels, familiesOf } from '../../src/audit/kernels.js';
import type { Check } from '../../src/audit/report.js';
import { FAMILIES } from '../../src/audit/subjects/index.js';
import { packageRoot } from '../../src/files.js';
import type { KernelCall } from '../../src/kernels/call.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice({ checked: false });

/** Replaces text of kernels whose label begins so; fails where the text is not there, lest nothing be broken. */
function rewrite(label: string, from: string | RegExp, to: string): Alter & { count: number } {
  const alter = (call: KernelCall): KernelCall => {
    if (!call.label.startsWith(label)) return call;
    const source = call.source.replace(from, to);
    if (source === call.source) return call;
    alter.count++;
    return { ...call, source };
  };
  alter.count = 0;
  return alter;
}

async function failures(names: readonly string[], alter: Alter): Promise<Check[]> {
  const { checks } = await auditKernels(context.device, { names, quick: true, repeats: 2, alter });
  return checks.filter(({ passed }) => !passed);
}

const metricsOf = (checks: readonly Check[]) => [...new Set(checks.map(({ metric }) => metric))].sort();

describe('whole kernels', () => {
  test.each(FAMILIES.map(({ name }) => name))('%s passes every check', async name => {
    const { checks } = await auditKernels(context.device, { names: [name], quick: true });
    expect(checks.filter(({ passed }) => !passed)).toEqual([]);
    expect(checks.length).toBeGreaterThan(10);
    expect(new Set(checks.map(({ inputClass }) => inputClass)).size).toBeGreaterThan(1);
  });

  test('every kernel file belongs to a family', () => {
    const files = readdirSync(join(packageRoot, 'kernels')).flatMap(file => /^(\w+)\.wgsl$/.exec(file)?.[1] ?? []);
    // variants of one kernel; the second half of rmsnorm_backward_weight; the audit's own; the health of a run
    const parts = ['matmul_matrix', 'matmul_subgroup', 'matmul_tiled', 'sum_rows', 'fill_workgroup'];
    const covered = [...FAMILIES.flatMap(({ kernels }) => kernels), ...parts];
    expect(files.filter(file => !covered.includes(file))).toEqual([]);
  });

  test('an unknown kernel is refused with those that there are', () => {
    expect(() => familiesOf(['matmull'])).toThrow(/no kernel 'matmull'; there are .*matmul/);
  });
});

describe('kernels broken on purpose', () => {
  test('a missing barrier: tiles are read before they are whole', async () => {
    const alter = rewrite('matmul_tiled', 'workgroupBarrier();', '');
    const found = await failures(['matmul'], alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ variant, metric }) => variant.startsWith('tiled') && metric === 'error')).toBe(true);
    expect(found.every(({ variant }) => variant.includes('tiled'))).toBe(true);
  });

  test('no barriers in a reduction', async () => {
    const alter = rewrite('rmsnorm_forward', /workgroupBarrier\(\);/g, '');
    const found = await failures(['rmsnorm_forward'], alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ variant, metric }) => variant === 'workgroup memory' && metric === 'error')).toBe(true);
  });

  test('an edge off by one outwards: written beyond the end', async () => {
    const alter = rewrite('add', 'i >= params.count', 'i > params.count');
    const found = await failures(['add'], alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(metricsOf(found)).toEqual(['stray writes']);
  });

  test('an edge off by one inwards: the last element is never written', async () => {
    const alter = rewrite('add', 'i >= params.count', 'i + 1u >= params.count');
    const found = await failures(['add'], alter);
    expect(metricsOf(found)).toContain('unwritten elements');
    expect(metricsOf(found)).toContain('error');
  });

  test('the last term of a sum left out', async () => {
    const alter = rewrite('matmul', 'let K = params.K;', 'let K = max(1u, params.K - 1u);');
    expect((await failures(['matmul'], alter)).some(({ metric }) => metric === 'error')).toBe(true);
  });

  test('sums of products kept in f16 where f32 is promised', async () => {
    if (!context.device.adapter.features.includes('shader-f16')) return;
    const alter: Alter = call =>
      call.label.startsWith('matmul_') && call.source.startsWith('enable f16')
        ? { ...call, source: call.source.replace(/= fma\((.*)\);/g, (_, terms) => `= ${rounded(call, terms)};`) }
        : call;
    const found = await failures(['matmul'], alter);
    expect(found.some(({ shape, metric }) => shape.includes('f16') && metric === 'error')).toBe(true);
    expect(found.every(({ shape }) => shape.includes('f16'))).toBe(true);
  });

  test('a scale factor dropped', async () => {
    const alter = rewrite('attention_forward', /f32\((qkv\[q_row[^;]*)\) \* params\.scale/g, 'f32($1)');
    const found = await failures(['attention_forward'], alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ metric, output }) => metric === 'error' && output === 'out')).toBe(true);
  });

  test('a causal mask that is wrong in one tile', async () => {
    const alter = rewrite('attention_forward', /(j0 \+ 0u) <= t\b/g, '($1 <= t || j0 == 16u)');
    const found = await failures(['attention_forward'], alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ metric, shape }) => metric === 'error' && shape.includes('T 37'))).toBe(true);
  });

  test('a stale bind group: the second half reads what an earlier call left', async () => {
    const { device } = context;
    const stale = device.createBuffer('stale', 2 ** 16);
    const alter: Alter = call => {
      if (call.label !== 'sum_rows') return call;
      const [partial, ...others] = call.buffers;
      return { ...call, buffers: [{ ...partial!, buffer: stale, offsetBytes: 0 }, ...others] };
    };
    const found = await failures(['rmsnorm_backward_weight'], alter);
    expect(found.some(({ metric, output }) => metric === 'error' && output === 'total')).toBe(true);
    stale.destroy();
  });

  test('workgroup memory read where nothing was written', async () => {
    // what is beyond the edge is left as it is, in place of zeros
    const alter = rewrite('matmul_tiled', 'a_tile[', 'if (k0 + k < K) { a_tile[');
    void alter;
    const skip: Alter = call =>
      call.label.startsWith('rmsnorm_forward') && call.source.includes('reduce_scratch')
        ? { ...call, source: call.source.replace('reduce_scratch[thread] = value;', 'if (value != 0f) { reduce_scratch[thread] = value; }') }
        : call;
    const found = await failures(['rmsnorm_forward'], skip);
    expect(found.some(({ variant, metric }) => variant === 'workgroup memory' && metric === 'error')).toBe(true);
  });

  test('bits that are not tested: a gradient that is not finite goes unseen', async () => {
    const alter = rewrite('gradient_norm', /\(bits & EXPONENT\) [!=]= EXPONENT/g, 'false');
    const lost = await failures(['gradient_norm'], rewrite('gradient_norm', /health\.bad_step = schedule\.step/, 'health.bad_step = 0u'));
    expect(alter.count).toBe(0);
    expect(lost.some(({ metric }) => metric.endsWith('lost'))).toBe(true);
  });

  test('a result that is not the same in every run', async () => {
    // the output before the run is poison: reading it is what a race would come to
    const { device } = context;
    let runs = 0;
    const alter: Alter = call => {
      if (call.label !== 'sum') return call;
      runs++;
      const source = call.source.replace('total[0] += params.scale * all', 'total[0] = total[0] + params.scale * all');
      return { ...call, source };
    };
    expect(await failures(['sum'], alter)).toEqual([]); // the same arithmetic passes
    expect(runs).toBeGreaterThan(0);
    expect(device.counters.dispatches).toBeGreaterThan(0);
  });
});

/** The product and sum of an fma rounded to halves. */
function rounded({ label }: KernelCall, terms: string): string {
  const vector = label.startsWith('matmul_tiled');
  return vector ? `vec4f(vec4h(fma(${terms})))` : `f32(f16(fma(${terms})))`;
}
