/** A study on the command line: real runs in processes of their own, interrupted, failed and gone on with. */
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { packageRoot } from '../../src/files.js';
import { parsePoints } from '../../src/scaling/points.js';
import { pointsCsv, studyPoints } from '../../src/study/points.js';
import { readStudy } from '../../src/study/state.js';
import { runCommand } from '../support/command.js';
import { FakeSlurm } from '../support/slurm.js';
import { sampleText } from '../support/text.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-cli-study-'));
const babelgrad = (...parameters: string[]) => runCommand(root, parameters);
const json = async (...parameters: string[]) => {
  const { stdout, stderr, status } = await babelgrad(...parameters, '--json');
  return { status, stderr, result: JSON.parse(stdout) as Record<string, unknown> };
};

const study = {
  name: 'tiny',
  out: 'study',
  languages: { en: 'en', fr: 'fr' },
  source: 'en',
  sizes: [{ name: 's', hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 }],
  train: {
    tokens: 20 * 128,
    contextLength: 32,
    batchTokens: 128,
    evalEveryTokens: 4 * 128,
    checkpointEveryTokens: 2 * 128,
    deterministic: true,
  },
};
const write = (file: string, changes: Record<string, unknown>) =>
  writeFileSync(join(root, file), stringify({ ...study, ...changes }));

beforeAll(async () => {
  for (const [i, language] of ['en', 'fr'].entries()) writeFileSync(join(root, `${language}.txt`), sampleText(i, 4000));
  await babelgrad('tokenizer', 'train', 'en.txt', 'fr.txt', '--vocab-size', '280', '--out', 'tokenizer.json');
  for (const language of ['en', 'fr']) {
    const data = ['--tokenizer', 'tokenizer.json', '--out', language, '--held-out-tokens', '300'];
    await babelgrad('tokenize', `${language}.txt`, ...data);
  }
  write('study.yaml', {});
}, 60_000);
afterAll(() => rmSync(root, { recursive: true }));

describe('a study', () => {
  test('--dry-run tells runs, FLOPs and time, and writes nothing', async () => {
    const { status, result } = await json('study', 'run', 'study.yaml', '--dry-run');
    expect(status).toBe(0);
    expect(result.runs).toHaveLength(3);
    expect(result).toMatchObject({ name: 'tiny' });
    for (const run of result.runs as { tokens: number; seconds: number }[]) {
      expect(run.tokens).toBe(2560);
      expect(run.seconds).toBeGreaterThan(0);
    }
    expect(existsSync(join(root, 'study'))).toBe(false);
  });

  test('stopped by SIGINT, then by SIGKILL, it ends with the bits of one that was never stopped', async () => {
    const slow = { ...study.train, tokens: 100 * 128, evalEveryTokens: 50 * 128, checkpointEveryTokens: 10 * 128 };
    write('slow.yaml', { out: 'stopped', train: slow });
    for (const signal of ['SIGINT', 'SIGKILL'] as const) {
      expect(await runUntilStep(['study', 'run', 'slow.yaml'], signal)).toBe(signal === 'SIGINT' ? 130 : null);
      const { result } = await json('study', 'status', 'stopped');
      const states = (result.runs as { state: string }[]).map(({ state }) => state);
      expect(states.slice(1), signal).toEqual(['pending', 'waiting']);
      expect(['interrupted', 'running'], signal).toContain(states[0]); // its process outlives its parent for a step
    }
    const resumed = await json('study', 'resume', 'stopped');
    expect(resumed.result, resumed.stderr).toMatchObject({ status: 'done', failed: [], blocked: [] });
    const whole = await json('study', 'run', 'slow.yaml', '--out', 'whole', '--jobs', '2');
    expect(whole.result, whole.stderr).toMatchObject({ status: 'done' });
    for (const run of ['s-source', 's-scratch-fr', 's-cpt-fr']) {
      expect(weights('stopped', run).equals(weights('whole', run)), run).toBe(true);
    }

    const again = await json('study', 'run', 'slow.yaml');
    expect(again.result).toMatchObject({ status: 'done' });
    expect(await json('study', 'run', 'study.yaml', '--out', 'whole')).toMatchObject({ status: 2 });

    const points = studyPoints(await readStudy(join(root, 'whole')));
    const parsed = parsePoints(pointsCsv(points), 'points.csv', { needed: ['flops', 'learningRate', 'warmupTokens'] });
    expect(parsed.points.map(({ run, tokens, annealed }) => [run, tokens, annealed])).toContainEqual([
      's-cpt-fr',
      100 * 128,
      true,
    ]);
    expect(points.filter(({ strategy }) => strategy === 'cpt').every(({ sourceLoss }) => sourceLoss! > 0)).toBe(true);
  }, 240_000);

  test('a run that fails is reported, and the rest goes on', async () => {
    // the source's first step meets a loss that is not finite
    write('failing.yaml', {
      out: 'failing',
      strategies: ['source', 'scratch', 'cpt'],
      sizes: [
        { ...study.sizes[0], learningRate: 1e38 },
        { ...study.sizes[0], name: 'm' },
      ],
    });
    const { status, result } = await json('study', 'run', 'failing.yaml');
    expect(status).toBe(1);
    expect(result).toMatchObject({
      status: 'incomplete',
      done: ['m-source', 'm-scratch-fr', 'm-cpt-fr'],
      blocked: ['s-cpt-fr'],
    });
    expect((result.failed as { run: string; error: string }[]).map(({ run }) => run)).toEqual([
      's-source',
      's-scratch-fr',
    ]);
    const shown = await babelgrad('study', 'status', 'failing');
    expect(shown.stdout).toMatch(/s-source failed: step \d+: the loss is/);
  }, 120_000);

  test('in a queue: submitted, shown, run by a task as its script does, and cancelled', async () => {
    const slurm = new FakeSlurm(join(root, 'slurm'));
    write('queue.yaml', { out: 'queue', slurm: { partition: 'gpu' } });
    const { status, result } = await json('study', 'run', 'queue.yaml', '--engine', 'slurm');
    expect([status, result]).toEqual([0, expect.objectContaining({ status: 'submitted', done: [] })]);
    expect(slurm.calls().map(({ intent }) => intent.runs)).toEqual([['s-source', 's-scratch-fr'], ['s-cpt-fr']]);
    const task = await json('study', 'resume', 'queue', '--run', 's-source');
    expect([task.status, task.result]).toEqual([0, expect.objectContaining({ status: 'done', done: ['s-source'] })]);
    const shown = await babelgrad('study', 'status', 'queue');
    for (const row of [
      's-source │   done .* 1_0 pending',
      's-scratch-fr │ queued .* 1_1',
      's-cpt-fr │ queued .* 2_0',
    ]) {
      expect(shown.stdout.replaceAll(/ +│/g, ' │')).toMatch(new RegExp(row));
    }
    const cancelled = await json('study', 'cancel', 'queue');
    expect(cancelled.result).toMatchObject({ cancelled: ['s-source', 's-scratch-fr', 's-cpt-fr'] });
    slurm.setFate('away'); // the folders still tell
    const { result: found, stderr } = await json('study', 'status', 'queue');
    expect(found.runs).toMatchObject([{ state: 'done' }, { state: 'pending' }, { state: 'pending' }]);
    expect(stderr).toContain('without jobs: squeue failed: slurm_load_jobs error: Unable to contact');
    for (const [refused, message] of [
      [['run', 'queue.yaml', '--engine', 'slurm', '--jobs', '2'], /'--jobs' is for the local engine/],
      [['resume', 'queue', '--run', 'x'], /'queue' has no run 'x'; its runs are s-source, /],
      [['cancel', 'en'], /'en' holds no study/],
    ] as const) {
      expect(await json('study', ...refused)).toMatchObject({
        status: 2,
        result: { error: expect.stringMatching(message) },
      });
    }
  }, 240_000);

  test('bad input ends with 2 and a reason, before anything is started', async () => {
    write('bad.yaml', { out: 'bad', languages: { en: 'en', fr: 'nowhere' } });
    const { status, result } = await json('study', 'run', 'bad.yaml');
    expect([status, result.error]).toEqual([2, expect.stringMatching(/nowhere/)]);
    expect(existsSync(join(root, 'bad'))).toBe(false);
    expect(await json('study', 'status', 'en')).toMatchObject({
      status: 2,
      result: { error: expect.stringMatching(/'en' holds no study/) },
    });
  });
});

const weights = (folder: string, run: string): Buffer => {
  const checkpoints = join(root, folder, 'runs', run, 'checkpoints');
  return readFileSync(join(checkpoints, readdirSync(checkpoints).at(-1)!, 'model.safetensors'));
};

/** Runs the command until the study's first run has a checkpoint, then sends a signal. @returns the exit status. */
async function runUntilStep(parameters: string[], signal: 'SIGINT' | 'SIGKILL'): Promise<number | null> {
  const checkpoints = join(root, 'stopped', 'runs', 's-source', 'checkpoints');
  const count = () => (existsSync(checkpoints) ? readdirSync(checkpoints).join() : '');
  const before = count();
  const child = spawn(process.execPath, [join(packageRoot, 'dist/src/cli/main.js'), ...parameters], {
    cwd: root,
    stdio: 'ignore',
  });
  const ended = new Promise<number | null>(resolve => child.on('close', resolve));
  while (count() === before && child.exitCode === null) await new Promise(resolve => setTimeout(resolve, 20));
  child.kill(signal);
  const status = await ended;
  if (signal === 'SIGKILL') await new Promise(resolve => setTimeout(resolve, 3000)); // its worker saves and ends
  return status;
}
