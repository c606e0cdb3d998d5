/** The order in which a study's runs are done, what a failure stops, and that nothing is run twice. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { claimFolder } from '../../src/claim.js';
import type { Execute } from '../../src/study/execute.js';
import { readStudyPlan, type StudyPlan } from '../../src/study/plan.js';
import { runFolder } from '../../src/study/planned-run.js';
import { localEngine, runStudy } from '../../src/study/run.js';
import { readPlan, readStudy } from '../../src/study/state.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-study-run-'));
afterAll(() => rmSync(root, { recursive: true }));

const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
function planIn(folder: string, changes: Record<string, unknown> = {}): StudyPlan {
  const path = join(root, `${folder}.yaml`);
  const sizes = ['s', 'm'].map(name => ({ name, ...model }));
  const languages = { en: 'data/en', fr: 'data/fr' };
  const study = { name: folder, out: join(root, folder), languages, source: 'en', sizes, ...changes };
  writeFileSync(path, stringify(study));
  return readStudyPlan(path);
}

const STEPS = 4;

/** Stands for training: writes what a run's folder has, step by step, and keeps a diary. */
function diary({ fails = [] as readonly string[], stopAt = Number.POSITIVE_INFINITY, stepMs = 2 } = {}) {
  const started: string[] = [];
  let running = 0;
  let most = 0;
  const execute: Execute = async ({ folder, config, from }, { signal }) => {
    started.push(config.name!);
    most = Math.max(most, ++running);
    try {
      if (fails.includes(config.name!)) throw new Error(`no luck with ${config.name}`);
      if (from !== undefined) expect(existsSync(join(from, 'checkpoints', `step-0000000${STEPS}`)), from).toBe(true);
      const first = existsSync(join(folder, 'step')) ? Number(readFileSync(join(folder, 'step'), 'utf8')) : 0;
      mkdirSync(folder, { recursive: true });
      writeFileSync(join(folder, 'config.json'), JSON.stringify({ steps: STEPS }));
      let step = first;
      while (step < STEPS && !signal?.aborted && step < stopAt) {
        await new Promise(resolve => setTimeout(resolve, stepMs));
        step++;
      }
      writeFileSync(join(folder, 'step'), String(step));
      mkdirSync(join(folder, 'checkpoints', `step-0000000${step}`), { recursive: true });
      const status = step === STEPS ? 'done' : 'interrupted';
      return { status, folder, step, steps: STEPS, tokens: step, flops: step, heldOut: {}, checkpoint: folder };
    } finally {
      running--;
    }
  };
  return { started, execute, most: () => most };
}

test('CPT comes after its source, and a finished study is not run again', async () => {
  const plan = planIn('order');
  const first = diary();
  expect(await runStudy(plan, { execute: first.execute })).toMatchObject({ status: 'done', failed: [], blocked: [] });
  expect(first.started).toEqual(['s-source', 's-scratch-fr', 's-cpt-fr', 'm-source', 'm-scratch-fr', 'm-cpt-fr']);
  const second = diary();
  expect((await runStudy(readPlan(plan.folder), { execute: second.execute })).done).toHaveLength(6);
  expect(second.started).toEqual([]);
});

test('one run alone is run, once its source is done', async () => {
  const plan = planIn('only');
  const { execute, started } = diary();
  expect(await runStudy(plan, { execute, only: ['m-cpt-fr'] })).toMatchObject({ status: 'incomplete', done: [] });
  expect(started).toEqual([]);
  const { status, done } = await localEngine({ execute }).start(plan, { only: ['m-source'] });
  expect([status, done]).toEqual(['done', ['m-source']]);
  expect(await runStudy(plan, { execute, only: ['m-cpt-fr'] })).toMatchObject({ status: 'done', done: ['m-cpt-fr'] });
  expect(started).toEqual(['m-source', 'm-cpt-fr']);
});

test('jobs run at once, and a CPT run still waits for its source', async () => {
  const { execute, started, most } = diary({ stepMs: 200 }); // longer than it takes to claim the next two
  expect(await runStudy(planIn('jobs'), { execute, jobs: 3 })).toMatchObject({ status: 'done' });
  expect(most()).toBe(3);
  expect(started).toHaveLength(6);
});

test('two processes share a study without running anything twice', async () => {
  const plan = planIn('shared');
  const one = diary({ stepMs: 50 }); // longer than it takes the other to look for a run of its own
  const other = diary({ stepMs: 50 });
  const summaries = await Promise.all([one, other].map(({ execute }) => runStudy(plan, { execute })));
  expect(summaries.map(({ status }) => status)).toEqual(['done', 'done']);
  expect([...one.started, ...other.started].sort()).toEqual(plan.runs.map(({ name }) => name).sort());
  expect(one.started.length).toBeGreaterThan(0);
  expect(other.started.length).toBeGreaterThan(0);
});

describe('a run that fails', () => {
  test('is reported with its error, blocks its CPT runs alone, and is tried again', async () => {
    const plan = planIn('failing');
    const { execute } = diary({ fails: ['s-source'] });
    const failed: string[] = [];
    const observer = { onRunFailed: ({ name }: { name: string }, error: string) => failed.push(`${name}: ${error}`) };
    const summary = await runStudy(plan, { execute, observer });
    expect(summary).toMatchObject({
      status: 'incomplete',
      done: ['s-scratch-fr', 'm-source', 'm-scratch-fr', 'm-cpt-fr'],
      failed: [{ run: 's-source', error: 'no luck with s-source' }],
      blocked: ['s-cpt-fr'],
    });
    expect(failed).toEqual(['s-source: no luck with s-source']);
    const states = (await readStudy(plan.folder)).runs.map(({ name, state }) => [name, state]);
    expect(Object.fromEntries(states)).toMatchObject({
      's-source': 'failed',
      's-cpt-fr': 'blocked',
      'm-cpt-fr': 'done',
    });

    const again = diary();
    expect(await runStudy(plan, { execute: again.execute })).toMatchObject({ status: 'done', failed: [] });
    expect(again.started).toEqual(['s-source', 's-cpt-fr']);
  });
});

describe('an interruption', () => {
  test('ends the run at hand with a checkpoint; the next start goes on with it', async () => {
    const plan = planIn('stopped');
    const abort = new AbortController();
    const { execute, started } = diary();
    const stopAfterTwo: Execute = (task, options) => {
      if (started.length === 2) abort.abort();
      return execute(task, options);
    };
    expect(await runStudy(plan, { execute: stopAfterTwo, signal: abort.signal })).toMatchObject({
      status: 'interrupted',
      done: ['s-source', 's-scratch-fr'],
    });
    const states = (await readStudy(plan.folder)).runs.map(({ state }) => state);
    expect(states).toEqual(['done', 'done', 'interrupted', 'pending', 'pending', 'waiting']);
    const again = diary();
    expect(await runStudy(plan, { execute: again.execute })).toMatchObject({ status: 'done' });
    expect(again.started).toEqual(['s-cpt-fr', 'm-source', 'm-scratch-fr', 'm-cpt-fr']);
  });

  test('a run that is claimed shows as running, and is left alone', async () => {
    const plan = planIn('claimed', { sizes: [{ name: 's', ...model }], strategies: ['source', 'scratch'] });
    await runStudy(plan, { execute: diary({ fails: ['s-source', 's-scratch-fr'] }).execute });
    const release = await claimFolder(runFolder(plan.folder, 's-source'));
    expect((await readStudy(plan.folder)).runs.map(({ state }) => state)).toEqual(['running', 'failed']);
    const abort = new AbortController();
    const { execute, started } = diary();
    setTimeout(() => abort.abort(), 100);
    await runStudy(plan, { execute, signal: abort.signal });
    expect(started).toEqual(['s-scratch-fr']);
    await release!();
  });
});

test('a study grows by what its file asks for besides, and keeps what it has', async () => {
  const size = { name: 's', ...model, seeds: [0, 1] };
  const first = planIn('grown', { sizes: [size] });
  await runStudy(first, { execute: diary().execute });
  const more = { sizes: [size, { name: 'm', ...model, targets: ['fr'] }], seeds: [1] };
  const grown = planIn('grown', more);
  const second = diary();
  expect(await runStudy(grown, { execute: second.execute })).toMatchObject({ status: 'done' });
  expect(second.started).toEqual(['m-source-seed1', 'm-scratch-fr-seed1', 'm-cpt-fr-seed1']);
  expect(readPlan(grown.folder)).toEqual(grown);
  await expect(runStudy(first, { execute: diary().execute })).rejects.toThrow(/holds a study with other runs/);
  const changed = planIn('grown', { ...more, train: { learningRate: 1 } });
  await expect(runStudy(changed, { execute: diary().execute })).rejects.toThrow(/holds a study with other runs/);
});

test('a study of lines with several ends grows too: their runs are read back with their fields in another order', async () => {
  const ends = { tokensPerParameter: [1, 2] };
  const size = (name: string) => ({ name, ...model, seeds: [0, 1] });
  const first = planIn('grown-ends', { sizes: [size('s')], ends });
  await runStudy(first, { execute: diary().execute });
  const grown = planIn('grown-ends', { sizes: [size('s'), size('m')], ends });
  const second = diary();
  expect(await runStudy(grown, { execute: second.execute })).toMatchObject({ status: 'done' });
  expect(second.started.every(name => name.startsWith('m-'))).toBe(true);
  expect(second.started).toHaveLength(grown.runs.length - first.runs.length);
});

test('another study in the same folder is refused', async () => {
  const plan = planIn('same');
  await runStudy(plan, { execute: diary().execute });
  const other = { ...planIn('same', { seeds: [5] }) };
  await expect(runStudy(other, { execute: diary().execute })).rejects.toThrow(/holds a study with other runs/);
});
