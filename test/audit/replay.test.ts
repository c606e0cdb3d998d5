/** What an audit and a run keep, read back and run again; two audits compared. */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { audit, writeAudit } from '../../src/audit/audit.js';
import { compareAudits } from '../../src/audit/compare.js';
import { hasFailed, readProblem, replayProblem } from '../../src/audit/replay.js';
import { replayOp } from '../../src/audit/replay-op.js';
import { type AuditReport, readAudit } from '../../src/audit/report.js';
import { openDevice } from '../../src/gpu/open-device.js';
import type { KernelCall } from '../../src/kernels/call.js';
import { initialWeights } from '../../src/model/init.js';
import { Model } from '../../src/model/model.js';
import { locateNonFinite } from '../../src/train/non-finite.js';
import { isOpFile, type RecordedOp, readOp, writeOp } from '../../src/train/recorded-op.js';
import { runCommand } from '../support/command.js';
import { B, goldenShape, sequences, T } from '../support/golden.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice({ checked: false });
const root = mkdtempSync(join(tmpdir(), 'babelgrad-audit-'));
afterAll(() => rmSync(root, { recursive: true }));

describe('an audit', () => {
  test('is written, read back, and the worst input of each variant gives the same error again', async () => {
    const { device } = context;
    const found = await audit([device], { names: ['cross_entropy'], quick: true });
    writeAudit(root, found);
    const report = readAudit(join(root, 'audit.json'));
    expect(report).toEqual(JSON.parse(JSON.stringify(found.report)));
    expect(report.failed).toBe(0);
    expect(report.passed).toBe(report.checks.length);
    const files = readdirSync(join(root, 'worst'));
    expect(files).toHaveLength(new Set(report.checks.map(({ variant }) => variant)).size);
    for (const name of files) {
      const path = join(root, 'worst', name);
      expect(isOpFile(path)).toBe(false);
      const file = readProblem(path);
      const own = report.checks.filter(({ variant, metric }) => variant === file.worst.variant && metric === 'error');
      expect(file.worst.value).toBe(Math.max(...own.map(({ value }) => value!)));
      const replayed = await replayProblem(device, file);
      expect(replayed.filter(hasFailed)).toEqual([]);
      const { outputs } = replayed.find(({ variant }) => variant === file.worst.variant)!;
      const again = outputs.find(({ output }) => output === file.worst.output)!;
      expect(again.errors.shares.max).toBe(file.worst.value);
      expect(again.worst.index).toBe(file.worst.index);
    }
    const { 'multiply-add f32': multiplyAdd, ...subnormals } = report.arithmetic;
    expect(multiplyAdd).toMatch(/^rounded (once|twice)/);
    expect(Object.values(subnormals).every(state => /kept|flushed/.test(state))).toBe(true);
  });

  test('keeps what failed by metric, and replay fails on it for as long as the kernel is wrong', async () => {
    const { device } = context;
    const edge = (call: KernelCall) =>
      call.label === 'add' ? { ...call, source: call.source.replace('i >= params.count', 'i > params.count') } : call;
    const blind = (call: KernelCall) =>
      call.label === 'gradient_norm'
        ? { ...call, source: call.source.replace('health.bad_step = schedule.step', 'health.bad_step = 0u') }
        : call;
    const only = ({ shape }: { shape: string }) => /^f32, 129|^3 parts, clip/.test(shape);
    const options = { names: ['add', 'gradient_norm'], quick: true, only };
    const folder = join(root, 'broken');
    writeAudit(folder, await audit([device], { ...options, alter: call => blind(edge(call)) }));
    const failed = readdirSync(join(folder, 'failed'));
    expect(failed).toContain('add-default-stray-writes.json');
    expect(failed.filter(name => /^gradient_norm-.*-NaN-in-partial-lost/.test(name)).length).toBeGreaterThan(0);
    const compile = device.compile.bind(device);
    for (const name of failed) {
      const file = readProblem(join(folder, 'failed', name));
      expect((await replayProblem(device, file)).filter(hasFailed)).toEqual([]);
      const broken = vi.spyOn(device, 'compile').mockImplementation((label, source) => {
        const call = blind(edge({ label, source } as KernelCall));
        return compile(label, call.source);
      });
      const replayed = await replayProblem(device, file);
      expect(replayed.find(({ variant }) => variant === file.worst.variant)).toSatisfy(hasFailed);
      broken.mockRestore();
    }
  });

  test('of a device or of two is the same', async () => {
    const second = await openDevice();
    try {
      const options = { names: ['add', 'sum', 'rope'], quick: true };
      const one = await audit([context.device], options);
      const two = await audit([context.device, second], options);
      expect(two.report.checks).toEqual(one.report.checks);
      expect(two.report.histograms).toEqual(one.report.histograms);
      await expect(audit([context.device, second], { names: ['none'] })).rejects.toThrow(/no kernel 'none'/);
    } finally {
      second.close();
    }
  });

  test('is compared with another: what fails in the second alone is named', async () => {
    const a = readAudit(join(root, 'audit.json'));
    expect(compareAudits(a, a)).toMatchObject({ same: a.checks.length, changed: 0, newlyFailing: [], arithmetic: [] });
    const [first, ...others] = a.checks;
    const b: AuditReport = { ...a, checks: [{ ...first!, value: 2, passed: false }, ...others] };
    const { newlyFailing, same, changed } = compareAudits(a, b);
    expect([same, changed]).toEqual([a.checks.length - 1, 1]);
    expect(newlyFailing).toHaveLength(1);
    expect(newlyFailing[0]).toContain('cross_entropy');
    expect(compareAudits(b, a).newlyFailing).toEqual([]);
  });

  test('a file that is none is refused', () => {
    const path = join(root, 'other.json');
    writeFileSync(path, '{"format": "something else"}');
    expect(() => readAudit(path)).toThrow(/is not the JSON of 'audit kernels'/);
    expect(() => readProblem(path)).toThrow(/is not a problem that an audit wrote/);
    expect(() => readAudit(join(root, 'none.json'))).toThrow(/there is no file/);
    writeFileSync(path, 'short');
    expect(() => readOp(path)).toThrow(/is not an op that a run kept/);
  });
});

describe('a crafted op', () => {
  const source = `
struct Params { count: u32 }
@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@compute @workgroup_size(4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= params.count) { return; }
  y[id.x] = x[id.x + 100000u];
  y[id.x + 100000u] = x[id.x + 100000u];
}`;
  const contents = [Float32Array.of(1, 2, 3, 7), new Float32Array(4)].map(values => new Uint8Array(values.buffer));
  const ends = { offsetBytes: 0, sizeBytes: 16 };
  const op: RecordedOp = {
    op: 'crafted',
    adapter: 'a',
    found: { tensor: 'y', index: 0, value: 'NaN' },
    buffers: ['x', 'y'].map(name => ({ name, sizeBytes: 16, type: 'f32' })),
    results: [{ name: 'y', buffer: 1, type: 'f32', count: 4 }],
    calls: [
      {
        label: 'crafted',
        source,
        params: [4],
        workgroups: [1, 1, 1],
        buffers: [0, 1].map(buffer => ({ buffer, ...ends })),
      },
    ],
    contents,
  };

  test('that reads and writes beyond its buffers meets the end of its own', async () => {
    const path = join(root, 'crafted.op');
    writeOp(path, op);
    const { status, stdout, stderr } = await runCommand(root, ['audit', 'replay', path, '--json']);
    expect(status, stderr).toBe(0);
    // a driver's bounds checks read zero and drop the write, Dawn's own move the index to the last element
    const { inputs, results } = JSON.parse(stdout);
    expect(inputs).toMatchObject([{ name: 'x', amax: 7 }]);
    expect(results).toMatchObject([{ name: 'y', nonFinite: 0 }]);
    expect([0, 7]).toContain(results[0].amax);
  });

  test('that names a buffer that it has not, or too many workgroups, is refused', async () => {
    const path = join(root, 'crafted-more.op');
    const [call] = op.calls;
    writeOp(path, { ...op, calls: [{ ...call!, buffers: [{ buffer: 9, ...ends }] }] });
    expect(() => readOp(path)).toThrow(/there is no buffer 9/);
    const wide = { ...op, calls: [{ ...call!, workgroups: [70_000, 1, 1] as [number, number, number] }] };
    await expect(replayOp(context.device, wide)).rejects.toThrow(/'crafted' needs 70000 workgroups/);
  });
});

describe('an op that made a value that is not finite', () => {
  test.each([
    ['swiglu', goldenShape, 'model.layers.1.mlp.up_proj.weight', 2],
    ['head_norm', { ...goldenShape, qkNorm: true }, 'model.layers.1.self_attn.k_norm.weight', 1], // x is in place
  ] as const)(
    'is found with its inputs, kept, and gives the same value again: %s',
    async (kind, shape, name, apart) => {
      const { device } = context;
      const model = await Model.create(device, shape, initialWeights(shape, 3));
      const huge = (await model.read(name)).map((_, i) => (i < 64 ? 3e38 : 0));
      model.writePart(name, group => model.weight(group), huge);
      const found = await locateNonFinite(model, sequences(0), { B, T });
      expect(found?.op?.op).toBe(kind);
      const path = join(root, 'found.op');
      writeOp(path, found!.op!);
      expect(isOpFile(path)).toBe(true);
      const op = readOp(path);
      expect(op.found).toMatchObject({ tensor: found!.tensor, index: found!.index });
      const { inputs, results } = await replayOp(device, op);
      expect(inputs.length).toBeGreaterThanOrEqual(apart);
      expect(inputs.every(({ nonFinite }) => nonFinite === 0)).toBe(true);
      expect(inputs.some(({ amax }) => amax > 2.9e38)).toBe(true);
      expect(results.find(result => result.name === found!.tensor)?.firstNonFinite).toBe(found!.index);
      model.destroy();
    },
  );
});
