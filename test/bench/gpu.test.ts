/** `bench gpu` at a tiny size, beside an engine that stands for PyTorch; cut off; and what its tables say. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { PYTORCH, PYTORCH_COMPILED, partsOf, TRIAL } from '../../bench/gpu/parts.js';
import { peakOf } from '../../bench/gpu/peaks.js';
import { gpuBenchmark, SHIPPED } from '../../bench/gpu/session.js';
import { benchmarkPage } from '../../bench/page.js';
import type { BenchmarkResult, GpuResults, GpuRow } from '../../bench/result.js';
import { gpuRows, partRows } from '../../bench/table.js';
import { packageRoot } from '../../src/files.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-gpu-'));
afterAll(() => rmSync(root, { recursive: true }));

const torch = {
  command: process.execPath,
  arguments: [join(import.meta.dirname, 'fake-cuda.mjs')],
  environment: process.env,
};
const options = {
  rounds: 1,
  seconds: 0.002,
  tuneSeconds: 0,
  sizes: { ...TRIAL, products: [5], audited: ['add'] },
  torch,
  onAudit() {},
};

test('every part, ours and the other engine in turns, and all that there is after each part', {
  timeout: 240_000,
}, async () => {
  const found: BenchmarkResult[] = [];
  const result = await gpuBenchmark({ ...options, limitSeconds: 600, onPart: one => found.push(structuredClone(one)) });
  const names = ['correctness', 'ceilings', ...partsOf(TRIAL).map(({ name }) => name)];
  expect(result.gpu!.parts.map(({ name, state }) => `${name}: ${state}`)).toEqual(names.map(name => `${name}: done`));
  expect(found.map(({ gpu }) => gpu!.unfinished.length)).toEqual(names.map((_, i) => names.length - 1 - i));
  expect(result.gpu!.audit).toMatchObject({ failed: 0, of: ['add'] });
  const { rows } = result.gpu!;
  const hasHalves = result.machine.adapter.features.includes('shader-f16');
  for (const row of rows) {
    const runs = hasHalves || !row.work.endsWith('f16');
    if (row.engine === SHIPPED && !runs) expect(row.refused).toMatch(/has no f16|shader-f16/);
    else if (row.engine === PYTORCH_COMPILED) expect(row.refused).toBe('no compiler');
    else expect(row.wall.length, `${row.work}, ${row.engine}`).toBeGreaterThan(0);
  }
  const step = rows.filter(({ work }) => work === 'step, B 2 T 16');
  expect(step.find(({ engine }) => engine === PYTORCH)).toMatchObject({ tokens: 32, peakBytes: 5e6 });
  expect(step.find(({ engine }) => engine === SHIPPED)!.peakBytes).toBeGreaterThan(0);
  expect(benchmarkPage(result)).toContain('Shipped, tuned, and PyTorch');
});

test('no part begins after the time', async () => {
  const { gpu } = await gpuBenchmark({ ...options, limitSeconds: Number.MIN_VALUE, onPart() {} });
  const [first, ...others] = gpu!.parts;
  expect(first!.state).toBe('done');
  for (const { name, state } of others) expect(state, name).toBe('skipped');
});

test('a run that is cut off keeps the parts that had ended', { timeout: 240_000 }, async () => {
  const out = join(root, 'cut');
  const main = join(packageRoot, 'dist/src/cli/main.js');
  const child = spawn(process.execPath, [main, 'bench', 'gpu', '--trial', '--rounds', '1', '--out', out], {
    stdio: 'ignore',
  });
  const ended = new Promise(resolve => child.once('exit', resolve));
  const file = join(out, 'benchmark.json');
  const read = () => (existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as BenchmarkResult).gpu! : undefined);
  for (let i = 0; i < 1500 && (read()?.parts.length ?? 0) < 2; i++)
    await new Promise(resolve => setTimeout(resolve, 100));
  child.kill('SIGKILL');
  await ended;
  const gpu = read()!;
  expect(gpu.parts.length).toBeGreaterThanOrEqual(2);
  expect(gpu.unfinished.length).toBeGreaterThan(0);
  expect(partRows(gpu).at(-1)![1]).toBe('not run');
  for (const written of ['benchmark.html', 'audit/audit.json', 'audit/audit.html'])
    expect(existsSync(join(out, written))).toBe(true);
});

describe('the table', () => {
  const row = (engine: string, wall: number[], more: Partial<GpuRow> = {}): GpuRow => ({
    work: 'a step',
    engine,
    wall,
    precision: 'f16',
    rate: 'flops',
    flops: 5e9,
    bytes: 0,
    tokens: 100,
    ...more,
  });
  const results = (rows: GpuRow[]): GpuResults => ({
    parts: [],
    unfinished: [],
    seconds: 1,
    torch: 'PyTorch',
    peak: { flops: { f32: 100, f16: 1000 }, source: 'nobody' },
    rows,
  });

  test('sets ours against the fastest of PyTorch, and FLOP/s against the peak of their precision', () => {
    const rows = gpuRows(results([row(SHIPPED, [20]), row(PYTORCH, [10]), row(PYTORCH_COMPILED, [5])]));
    expect(rows[0]!.slice(2, 8)).toEqual(['250 GFLOP/s', '20.0', '0%', '0.25', '25%', '5000']);
    expect(rows[1]![5]).toBe('');
  });

  test('says why there is no speed', () => {
    expect(gpuRows(results([row(SHIPPED, [], { refused: 'c is wrong' })]))[0]!.at(-1)).toBe('c is wrong');
  });

  test('knows peaks by name, or takes what was measured', () => {
    expect(peakOf('NVIDIA H100 80GB HBM3', 1)!.flops).toEqual({ f32: 66_900, f16: 989_400 });
    expect(peakOf('NVIDIA H100 PCIe', 1)!.flops.f16).toBe(756_000);
    expect(peakOf('some GPU', 7)).toMatchObject({
      flops: { f32: 7, f16: 7 },
      source: expect.stringContaining('this run') as string,
    });
    expect(peakOf('some GPU', undefined)).toBeUndefined();
  });
});
