/** The audit passes on whole kernels, covers every one, and fails on each kernel that is broken on purpose. */
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { auditKernels, familiesOf } from '../../src/audit/kernels.js';
import type { Check } from '../../src/audit/report.js';
import { FAMILIES } from '../../src/audit/subjects/index.js';
import { matmulVariants } from '../../src/audit/variants.js';
import type { Alter } from '../../src/cases/bench.js';
import type { Problem } from '../../src/cases/case.js';
import type { MatmulTypes } from '../../src/cases/matmul.js';
import { matmulSizes, sumLengths } from '../../src/cases/sizes.js';
import { packageRoot } from '../../src/files.js';
import type { KernelCall } from '../../src/kernels/call.js';
import type { MatmulForm } from '../../src/kernels/matmul-variant.js';
import { callsOf } from '../support/cases.js';
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

/** What fails of the ordinary problems of a kernel whose shape has `shape` in its name. */
async function failures(name: string, shape: string, alter: Alter): Promise<Check[]> {
  const only = (problem: Problem) => problem.inputClass === 'uniform' && problem.shape.includes(shape);
  const { checks } = await auditKernels([context.device], { names: [name], quick: true, only, alter });
  expect(checks.length).toBeGreaterThan(0);
  return checks.filter(({ passed }) => !passed);
}

const metricsOf = (checks: readonly Check[]) => [...new Set(checks.map(({ metric }) => metric))].sort();

describe('whole kernels', () => {
  // the other three are slow to compile: test/ops has their cases, and 'audit kernels --quick' runs them
  const quick = FAMILIES.map(({ name }) => name).filter(
    name => !['matmul', 'matmul_swiglu', 'attention'].includes(name),
  );
  test.each(quick)('%s passes every check', async name => {
    const { checks } = await auditKernels([context.device], { names: [name], quick: true });
    expect(checks.filter(({ passed }) => !passed)).toEqual([]);
    expect(checks.length).toBeGreaterThan(10);
    expect(new Set(checks.map(({ inputClass }) => inputClass)).size).toBeGreaterThan(1);
  });

  test('every kernel file is run by a problem, but for what fills memory and what a ceiling is measured with', () => {
    const files = readdirSync(join(packageRoot, 'kernels')).flatMap(file => /^(\w+)\.wgsl$/.exec(file)?.[1] ?? []);
    const matrices = [{ operand: 'f16', result: 'f32', M: 8, N: 8, K: 8 }];
    const features = ['shader-f16', 'subgroups', 'chromium-experimental-subgroup-matrix'];
    const software = { kind: 'system software', subgroupSizes: [8], subgroupMatrices: matrices, features } as const;
    const adapter = { ...context.device.adapter, ...software };
    const called = new Set<string>();
    for (const problem of FAMILIES.flatMap(({ problems }) => [...problems({ adapter, quick: true })])) {
      for (const { table } of problem.variants) {
        for (const { label } of callsOf(problem, table)) called.add(label.split(' ')[0]!.replace('_swiglu', ''));
      }
    }
    const apart = ['fill_workgroup', 'ceiling_fma', 'ceiling_copy'];
    expect(files.filter(file => !called.has(file.replace('_swiglu', '')) && !apart.includes(file))).toEqual([]);
  });

  test('in quick each variant of a product and of attention is there, and compiled once for a type and a number of rows', () => {
    const { adapter } = context.device;
    for (const { name, problems } of FAMILIES.filter(({ name }) => /^matmul|^attention/.test(name))) {
      const [seen, variants] = [new Map<string, Set<string>>(), new Set<string>()];
      for (const problem of problems({ adapter, quick: true })) {
        for (const { name, table } of problem.variants) {
          const [call] = callsOf(problem, table);
          // a product of few rows has a tile of its own
          const rows = call!.source.match(/const (ROWS|GROUPS) = \d+u/g) ?? [];
          const key = `${name} ${problem.kernel} ${problem.shape.replace(/, .*/, '')} ${[...new Set(rows)]}`;
          seen.set(key, (seen.get(key) ?? new Set()).add(call!.source));
          variants.add(name);
        }
      }
      expect([...seen].filter(([, sources]) => sources.size > 1)).toEqual([]);
      const all = new Set<string>();
      for (const problem of problems({ adapter, quick: false })) {
        for (const { name } of problem.variants) all.add(name);
      }
      expect(variants, name).toEqual(all);
    }
  });

  test('every variant of a product meets all sizes, and each pair of form, types, epilogue and input class', () => {
    const { adapter } = context.device;
    const { problems } = FAMILIES.find(({ name }) => name === 'matmul')!;
    const [sizes, possible, met] = [new Map<string, Set<string>>(), new Map<string, Set<string>>(), new Map()];
    const note = (into: Map<string, Set<string>>, name: string, values: readonly string[]) =>
      into.set(name, new Set([...(into.get(name) ?? []), ...values]));
    for (const { shape, variants, inputClass, inputs, outputs } of problems({ adapter, quick: false })) {
      const [form, size, epilogue] = [shape.slice(0, 2), ...shape.split(', ').slice(1)] as [string, string, string];
      const { a, b, c } = { a: inputs.a!, b: inputs.b!, c: outputs.c! };
      const types = { a: a.type, b: b.type, c: c.type } as MatmulTypes;
      const factors = [form, `A ${a.type}`, `B ${b.type}`, `C ${c.type}`, epilogue, inputClass];
      const pairs = factors.flatMap((one, i) => factors.slice(i + 1).map(other => `${one}, ${other}`));
      for (const name of matmulVariants(adapter, { form: form as MatmulForm, types }).keys())
        note(possible, name, pairs);
      for (const { name } of variants) note(met, name, pairs);
      for (const { name } of variants) note(sizes, name, [size]);
    }
    expect(met.size).toBeGreaterThan(2);
    expect(met).toEqual(possible);
    const all = matmulSizes.map(({ M, N, K }) => `M ${M} N ${N} K ${K}`);
    for (const [name, own] of sizes)
      expect(
        [...all].filter(size => !own.has(size)),
        name,
      ).toEqual([]);
    for (const K of sumLengths) for (const own of sizes.values()) expect(own).toContain(`M 17 N 9 K ${K}`);
  });

  test('an unknown kernel is refused with those that there are', () => {
    expect(() => familiesOf(['matmull'])).toThrow(/no kernel 'matmull'; there are .*matmul/);
  });
});

describe('kernels broken on purpose', () => {
  test('a missing barrier: tiles are read before they are whole', async () => {
    const alter = rewrite('matmul_tiled', 'workgroupBarrier();', '');
    const found = await failures('matmul', 'f32 f32 f32, M 17 N 65 K 15', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ variant, metric }) => variant.startsWith('tiled') && metric === 'error')).toBe(true);
    expect(found.every(({ variant }) => variant.includes('tiled'))).toBe(true);
  });

  test('no barriers in a reduction', async () => {
    const alter = rewrite('rmsnorm_forward', /workgroupBarrier\(\);/g, '');
    const found = await failures('rmsnorm_forward', 'to f32, 65 x 127', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ variant, metric }) => variant === 'workgroup memory' && metric === 'error')).toBe(true);
  });

  test('an edge off by one outwards: written beyond the end', async () => {
    const alter = rewrite('add', 'i >= params.count', 'i > params.count');
    const found = await failures('add', 'f32, 129', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(metricsOf(found)).toEqual(['stray writes']);
  });

  test('an edge off by one inwards: the last element is never written', async () => {
    const alter = rewrite('add', 'i >= params.count', 'i + 1u >= params.count');
    const found = await failures('add', 'f32, 129', alter);
    expect(metricsOf(found)).toContain('unwritten elements');
    expect(metricsOf(found)).toContain('error');
  });

  test('an element of a vector exchanged for another: only where vectors are taken', async () => {
    const alter = rewrite('rope', 'rotation[1].xz', 'rotation[0].xz');
    const found = await failures('rope', 'size 80', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ variant, metric }) => variant === 'by 4' && metric === 'error')).toBe(true);
  });

  test('the last term of a sum left out', async () => {
    const alter = rewrite('matmul', 'let K = params.K;', 'let K = max(1u, params.K - 1u);');
    expect((await failures('matmul', 'M 17 N 65 K 15', alter)).some(({ metric }) => metric === 'error')).toBe(true);
  });

  test('sums of products kept in f16 where f32 is promised', async () => {
    if (!context.device.adapter.features.includes('shader-f16')) return;
    let altered = 0;
    const alter: Alter = call => {
      if (!call.label.startsWith('matmul_tiled')) return call;
      altered++;
      const source = call.source
        .replace(/(var sum_\w+) = vec4f\(\);/g, '$1 = vec4h();')
        .replace(/fma\((vec4f\(a_\w+\[\d\]\)), (b_\w+), (sum_\w+)\)/g, 'fma(vec4h($1), vec4h($2), $3)')
        .replace('sums: vec4f) {', 'halves: vec4h) {\n  let sums = vec4f(halves);');
      return { ...call, source };
    };
    const found = await failures('matmul', 'NT f16 f16 f16, M 65 N 127 K 129', alter);
    expect(altered).toBeGreaterThan(0);
    expect(found.some(({ metric }) => metric === 'error')).toBe(true);
    expect(found.every(({ variant }) => variant.startsWith('tiled'))).toBe(true);
  });

  test('a scale factor dropped', async () => {
    const alter = rewrite('attention_forward', /f32\((qkv\[q_row[^;]*)\) \* params\.scale/g, 'f32($1)');
    const found = await failures('attention_forward', 'f32, B 1 T 65', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ metric, output }) => metric === 'error' && output === 'out')).toBe(true);
  });

  test('a causal mask that is wrong in one tile', async () => {
    const alter = rewrite('attention_forward', /(j0 \+ 3u) <= (t_\d)\b/g, '($1 <= $2 || j0 == 20u)');
    const found = await failures('attention_forward', 'f32, B 1 T 65', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ metric, shape }) => metric === 'error' && shape.includes('T 65'))).toBe(true);
  });

  test('attention: the first key of a branch left out', async () => {
    const alter = rewrite('attention_forward', />= branch_(\d)\.y/g, '> branch_$1.y');
    const found = await failures('branches', 'f32, 3 branches', alter);
    expect(metricsOf(found)).toContain('error');
  });

  test('the newest key left out of what is attended to', async () => {
    const alter = rewrite('attention_cached', 'positions[batch] + 1u', 'max(1u, positions[batch])');
    const found = await failures('attention_cached', 'f32, lengths 15 16 17', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(metricsOf(found)).toContain('error');
  });

  test('a key written at the next position', async () => {
    const alter = rewrite('cache_write', 'row % params.T', 'row % params.T + 1u');
    const found = await failures('cache_write', 'f32, 1 at 14 15 16', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(metricsOf(found)).toEqual(['error', 'stray writes', 'unwritten elements']);
  });

  test('a part of the rows left out of a sum', async () => {
    const alter = rewrite('sum_rows', 'min((part + 1u) * params.part_rows, params.rows)', 'params.part_rows');
    const found = await failures('sum_rows', 'f32, 256 x 3', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(metricsOf(found)).toContain('error');
  });

  test('a head normed by the weight of another element', async () => {
    const alter = rewrite('head_norm_forward', '* scale * weight[d]', '* scale * weight[(d + 1u) % D]');
    const found = await failures('head_norm_forward', 'f32, 65 rows', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(metricsOf(found)).toContain('error');
  });

  test('a stale bind group: the second half reads what an earlier call left', async () => {
    const { device } = context;
    const stale = device.createBuffer('stale', 2 ** 16);
    const alter: Alter = call => {
      if (call.label !== 'sum_rows') return call;
      const { values } = call.buffers;
      return { ...call, buffers: { ...call.buffers, values: { ...values!, buffer: stale, offsetBytes: 0 } } };
    };
    const found = await failures('rmsnorm_backward', 'from f32, 65 x 127', alter);
    expect(found.some(({ metric, output }) => metric === 'error' && output === 'total')).toBe(true);
    stale.destroy();
  });

  test('workgroup memory read where nothing was written', async () => {
    // gives every dispatch workgroup memory of zeros, so that nothing shows
    if (context.device.adapter.architecture === 'swiftshader') return;
    const alter = rewrite('rmsnorm_forward', 'reduce_scratch[thread] = value;', 'if (value != 0f) { $& }');
    const found = await failures('rmsnorm_forward', 'to f32, 65 x 127', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(found.some(({ variant, metric }) => variant === 'workgroup memory' && metric === 'error')).toBe(true);
  });

  test('a bad step that is not written down: what is not finite goes unseen', async () => {
    const alter = rewrite('gradient_norm', 'health.bad_step = schedule.step', 'health.bad_step = 0u * schedule.step');
    const found = await failures('gradient_norm', '3 parts, clip', alter);
    expect(alter.count).toBeGreaterThan(0);
    expect(metricsOf(found)).toContain("NaN in 'partial' lost");
    expect(metricsOf(found)).toContain("Infinity in 'loss' lost");
  });

  test('a result that is not the same in every run', async () => {
    const alter: Alter = call => {
      if (call.label !== 'add' || !call.source.includes('b: array')) return call;
      const source = call.source
        .replace('var<storage, read> a', 'var<storage, read_write> a')
        .replace(/(y\[i\] = .*;)/, '$1 a[i] = a[i] + a[i];');
      return { ...call, source };
    };
    expect(metricsOf(await failures('add', 'f32, 129', alter))).toContain('elements that differ between runs');
  });
});
