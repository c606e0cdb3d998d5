import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type EngineChoice, engines, OURS, PYTORCH } from '../../bench/engines/engines.js';
import { matmul } from '../../bench/engines/tasks.js';
import { comparePeers, peerBars, speedup } from '../../bench/peers.js';
import { peerRow } from '../../bench/table.js';
import { peerWork, resultOf } from './samples.js';

const folder = mkdtempSync(join(tmpdir(), 'peers-'));
afterAll(() => rmSync(folder, { recursive: true }));

const fake = (behaviour: string): EngineChoice => ({
  name: behaviour,
  webgpu: true,
  start: {
    command: process.execPath,
    arguments: [join(import.meta.dirname, 'fake-engine.mjs'), behaviour],
    environment: process.env,
  },
});

describe('comparing', () => {
  test('only a right engine is timed, in turns; every other says why it is not', async () => {
    const missing: EngineChoice = { name: 'missing', webgpu: true, start: { missing: 'not installed: npm ci' } };
    const nowhere: EngineChoice = {
      name: 'nowhere',
      webgpu: true,
      start: { command: '/no/such/program', arguments: [], environment: {} },
    };
    const choices = [...['right', 'wrong', 'unable', 'throws', 'crashes', 'dead'].map(fake), missing, nowhere];
    const reports: string[] = [];
    const { engines, works } = await comparePeers(choices, {
      rounds: 2,
      seconds: 0.004,
      works: [matmul(9)],
      onProgress: (_done, _total, details) => reports.push(details),
    });
    const rows = Object.fromEntries(works[0]!.rows.map(row => [row.engine, row]));
    expect(rows.right).toMatchObject({ wall: [4, 8, 4, 8], check: expect.stringMatching(/81 elements/) });
    const reasons = {
      wrong: /c is wrong, so it is not timed/,
      unable: /^forward only$/,
      throws: /^out of memory$/,
      crashes: /its process ended/,
      dead: /does not start: its process ended: no adapter for me/,
      missing: /^not installed: npm ci$/,
      nowhere: /does not start: .*ENOENT/,
    };
    for (const [name, reason] of Object.entries(reasons)) {
      expect(rows[name]!.refused, name).toMatch(reason);
      expect(rows[name]!.wall, name).toEqual([]);
      expect(peerRow(works[0]!, rows[name]!).at(-1), name).toMatch(reason);
    }
    expect(engines.find(({ name }) => name === 'missing')).toMatchObject({ missing: 'not installed: npm ci' });
    const order = reports.filter(text => !text.includes('checking')).map(text => text.split(': ')[1]);
    expect(order).toEqual(['right', 'crashes', 'right']);
  });
});

describe('engines', () => {
  const { adapter } = resultOf({}).machine;
  const description = { number: 1, ...adapter, vendor: '', architecture: '', limits: {}, subgroupMatrices: [] };

  test('a peer that is not installed says how to install it', () => {
    const found = engines(description, folder);
    expect(found[0]!.name).toBe(OURS);
    for (const name of ['jax-js', 'TensorFlow.js', 'ONNX Runtime']) {
      expect(found.find(engine => engine.name === name)!.start).toEqual({
        missing: 'not installed: npm ci --prefix bench/peers',
      });
    }
    const pytorch = found.find(({ name }) => name === PYTORCH)!;
    if ('missing' in pytorch.start) expect(pytorch.start.missing).toMatch(/install/);
  });

  test('one that is runs in a process of its own', () => {
    const manifest = join(folder, 'node_modules', '@jax-js', 'jax', 'package.json');
    mkdirSync(dirname(manifest), { recursive: true });
    writeFileSync(manifest, '{}');
    const jax = engines(description, folder).find(({ name }) => name === 'jax-js')!;
    expect(jax.start).toMatchObject({
      command: process.execPath,
      arguments: [expect.stringMatching(/serve\.js$/), join(folder, 'jax.mjs'), adapter.name, 'bundled'],
    });
  });
});

describe('bars', () => {
  const row = (engine: string, wall: number[]) => ({ engine, wall });

  test('are set against the fastest WebGPU peer, and PyTorch apart', () => {
    const work = peerWork([row(OURS, [10]), row('jax-js', [30]), row('TensorFlow.js', [20]), row(PYTORCH, [5])]);
    expect(speedup(work, ['jax-js', 'TensorFlow.js'])).toBe(2);
    const list = [OURS, 'jax-js', 'TensorFlow.js'].map(name => ({ name, webgpu: true }));
    const bars = peerBars({ engines: [...list, { name: PYTORCH, webgpu: false }], works: [work] });
    expect(bars).toMatchObject([
      { measured: '2.00', reached: false },
      { measured: '0.50', reached: false },
    ]);
  });

  test('a PyTorch that is slower than it need be is no measure', () => {
    const work = peerWork([row(OURS, [10]), row(PYTORCH, [50])]);
    const pytorch = { name: PYTORCH, webgpu: false, handicap: 'a slow BLAS' };
    expect(peerBars({ engines: [pytorch], works: [work] })[1]).toMatchObject({ measured: 'a slow BLAS' });
    expect(peerBars({ engines: [{ ...pytorch, handicap: null }], works: [work] })[1]).toMatchObject({
      measured: '5.00',
      reached: true,
    });
  });

  test('what was not measured is not reached', () => {
    const work = peerWork([row(OURS, [10]), { ...row('jax-js', []), refused: 'not installed' }]);
    const engines = [OURS, 'jax-js'].map(name => ({ name, webgpu: true }));
    for (const { reached, measured } of peerBars({ engines, works: [work] })) {
      expect(reached).toBeUndefined();
      expect(measured).toBe('not measured');
    }
  });

  test('a step is also judged by what it asks of the host', () => {
    const costs = { dispatches: 242, submits: 2, buffersAfterStep2: 0, peakBytes: 200e6 };
    const step = peerWork([{ ...row(OURS, [10]), costs }, row('jax-js', [50])], { kind: 'step', tokens: 1024 });
    const bars = peerBars({ engines: [], works: [step] });
    expect(bars.map(({ reached }) => reached)).toEqual([true, undefined, true, false, true, false]);
  });
});
