/** A study in the queue of a fake Slurm: what is submitted, and that nothing is twice, wherever a start is cut off. */
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { checkpointFolder } from '../../src/checkpoint/find.js';
import { claimFolder } from '../../src/claim.js';
import { UserError } from '../../src/errors.js';
import { packageRoot } from '../../src/files.js';
import { readStudyPlan, type StudyPlan } from '../../src/study/plan.js';
import { runFolder } from '../../src/study/planned-run.js';
import { slurmEngine } from '../../src/study/slurm/engine.js';
import { cancelStudy, withJobs } from '../../src/study/slurm/jobs.js';
import { readPlan, readStudy, writeFailure } from '../../src/study/state.js';
import { FakeSlurm } from '../support/slurm.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-slurm-'));
afterAll(() => rmSync(root, { recursive: true }));
const slurm = new FakeSlurm(join(root, 'slurm'));
let plan: StudyPlan;
let count = 0;

function planWith(changes: Record<string, unknown> = {}): StudyPlan {
  const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
  const study = {
    name: 'two sizes',
    out: join(root, `study${count}`),
    languages: { en: 'data/en', fr: 'data/fr' },
    source: 'en',
    sizes: ['s', 'm'].map(name => ({ name, ...model })),
    replay: [{ ratios: [0.1], sizes: ['m'] }],
    ...changes,
  };
  writeFileSync(join(root, 'study.yaml'), JSON.stringify(study)); // JSON is YAML
  return readStudyPlan(join(root, 'study.yaml'));
}
beforeEach(() => {
  slurm.reset();
  count++;
  plan = planWith();
});

const start = (patienceMs = 0) => slurmEngine({ patienceMs }).start(plan);
const FIRST = ['s-source', 's-scratch-fr', 'm-source', 'm-scratch-fr'];
const OF_S = ['s-cpt-fr'];
const OF_M = ['m-cpt-fr', 'm-cpt-fr-replay0.1-extra'];
const submitted = () => slurm.calls().map(({ intent }) => intent.runs);
const dependencies = () =>
  slurm.calls().map(({ parameters }) => parameters.find(option => option.startsWith('--dependency=')));

/** Leaves what a run that is done has. */
function finish(run: string): void {
  mkdirSync(checkpointFolder(runFolder(plan.folder, run), 4), { recursive: true });
  writeFileSync(join(runFolder(plan.folder, run), 'config.json'), '{ "steps": 4 }');
}

describe('what is submitted', () => {
  test('one array of the runs that can start, and one of the CPT runs of each source, after its task', async () => {
    expect(await start()).toMatchObject({ status: 'submitted', done: [], failed: [], blocked: [] });
    expect(submitted()).toEqual([FIRST, OF_S, OF_M]);
    expect(dependencies()).toEqual([undefined, '--dependency=afterok:1_0', '--dependency=afterok:1_2']);
    for (const { parameters, intent } of slurm.calls()) {
      expect(intent.job, 'the intent is written before the job is').toBeUndefined();
      expect(parameters).toContain(`--job-name=${intent.name}`);
      expect(intent.options).toEqual(parameters.slice(1, -1));
      const isAfter = parameters.some(option => option.startsWith('--dependency='));
      expect(parameters.includes('--kill-on-invalid-dep=yes')).toBe(isAfter);
    }
  });

  test('resources of the file, which may change while the study goes on', async () => {
    const asked = {
      partition: 'gpu',
      account: 'a',
      qos: 'q',
      time: '1-12:00:00',
      gpus: 'a100:1',
      cpus: 4,
      memory: '16G',
    };
    plan = planWith({ slurm: { ...asked, tasksAtOnce: 2, signalSeconds: 300, extra: ['--constraint=a b'] } });
    await start();
    const { parameters } = slurm.calls()[0]!;
    for (const option of ['partition=gpu', 'account=a', 'qos=q', 'time=1-12:00:00', 'gpus=a100:1', 'cpus-per-task=4']) {
      expect(parameters).toContain(`--${option}`);
    }
    for (const option of ['mem=16G', 'array=0-3%2', 'signal=B:USR1@300', 'constraint=a b', 'requeue', 'ntasks=1']) {
      expect(parameters).toContain(`--${option}`);
    }
    expect(parameters).toContain('--open-mode=append');
    await cancelStudy(plan.folder);
    plan = planWith({ slurm: { time: 30, requeue: false } });
    await start();
    plan = readPlan(plan.folder); // without the file, what was asked for last holds
    await cancelStudy(plan.folder);
    await start();
    expect(slurm.calls()).toHaveLength(9);
    for (const { parameters } of slurm.calls().slice(3)) {
      expect(parameters).toContain('--time=30');
      expect(parameters).toContain('--no-requeue');
      expect(parameters.some(option => option.startsWith('--partition'))).toBe(false);
    }
  });

  test('no array is larger than the cluster takes', async () => {
    slurm.set('most', 3);
    await start();
    expect(submitted()).toEqual([FIRST.slice(0, 3), FIRST.slice(3), OF_S, OF_M]);
  });

  test('what is queued, done or held by a process is not; what failed is, after a source that is queued', async () => {
    await start();
    await start();
    expect(slurm.calls()).toHaveLength(3);
    finish('s-source');
    writeFailure(plan.folder, 'm-scratch-fr', 'no luck');
    slurm.update(task => {
      if (task.name !== slurm.tasks()[0]!.name || task.index !== 2) task.state = 'FAILED';
    });
    const release = await claimFolder(runFolder(plan.folder, 's-scratch-fr'));
    const waits: string[] = [];
    const observer = { onWait: ({ name }: { name: string }, holder: string) => waits.push(`${name}: ${holder}`) };
    expect(await slurmEngine().start(plan, { observer })).toMatchObject({ status: 'submitted', failed: [] });
    await release!();
    expect(submitted().slice(3)).toEqual([['s-cpt-fr', 'm-scratch-fr'], OF_M]);
    expect(dependencies().slice(3)).toEqual([undefined, '--dependency=afterok:1_2']);
    expect(waits).toEqual([expect.stringMatching(/^s-scratch-fr: process \d+ on/)]);
    for (const { name } of plan.runs) finish(name);
    expect(await start()).toMatchObject({ status: 'done' });
  });

  test('CPT whose source another process runs is left until that is done', async () => {
    const release = await claimFolder(runFolder(plan.folder, 'm-source'));
    await start();
    await release!();
    expect(submitted()).toEqual([['s-source', 's-scratch-fr', 'm-scratch-fr'], OF_S]);
  });
});

describe('a start that is cut off', () => {
  /** Starts in a process that the fake sbatch kills. */
  async function startAndDie(): Promise<void> {
    const program = join(root, 'start.mjs');
    const index = JSON.stringify(join(packageRoot, 'dist/src/index.js'));
    const body = `import { readStudyPlan, slurmEngine } from ${index};
      await slurmEngine().start(readStudyPlan(${JSON.stringify(join(root, 'study.yaml'))}));`;
    writeFileSync(program, body);
    const child = spawn(process.execPath, [program], { stdio: 'inherit' });
    expect(await new Promise(resolve => child.on('close', (_, signal) => resolve(signal)))).toBe('SIGKILL');
  }

  test('after sbatch took an array is gone on with from there', async () => {
    slurm.setFate('die after');
    await startAndDie();
    expect(submitted()).toEqual([FIRST]);
    await start(60_000);
    expect(submitted()).toEqual([FIRST, OF_S, OF_M]);
    expect(dependencies()).toEqual([undefined, '--dependency=afterok:1_0', '--dependency=afterok:1_2']);
  });

  test('before sbatch took an array waits while an sbatch may be on its way, and else submits it', async () => {
    slurm.setFate('die before');
    await startAndDie();
    expect(submitted()).toEqual([]);
    const [intent] = readdirSync(join(plan.folder, 'slurm')).filter(name => name.startsWith('two-sizes-'));
    expect(intent).toMatch(/^two-sizes-[0-9a-f]{8}$/);
    const started = start(600_000);
    setTimeout(() => slurm.add(intent!, 7, FIRST.length), 1000);
    await started;
    expect(submitted()).toEqual([OF_S, OF_M]);
    expect(dependencies()).toEqual(['--dependency=afterok:7_0', '--dependency=afterok:7_2']);
    slurm.reset();
    await start(0);
    expect(submitted()).toEqual([FIRST, OF_S, OF_M]);
  });

  test('by an answer that was lost finds its job', async () => {
    slurm.setFate('lose the answer');
    expect(await start()).toMatchObject({ status: 'submitted' });
    expect(submitted()).toEqual([FIRST, OF_S, OF_M]);
  });

  test('by a refusal says why, and leaves no intent', async () => {
    slurm.setFate('refuse');
    const refused = start();
    await expect(refused).rejects.toThrow(UserError);
    await expect(refused).rejects.toThrow(/invalid partition specified: nowhere/);
    expect(readdirSync(join(plan.folder, 'slurm'))).toEqual(['options.json']);
  });

  test('is not begun while another process submits, or the queue cannot be asked', async () => {
    await start();
    slurm.update(task => (task.state = 'CANCELLED'));
    slurm.setFate('away');
    await expect(start()).rejects.toThrow(/squeue failed: .*Unable to contact slurm controller/);
    expect(slurm.calls()).toHaveLength(3);
    slurm.reset();
    const release = await claimFolder(join(plan.folder, 'slurm'));
    await expect(start()).rejects.toThrow(/is being submitted by process \d+ on/);
    await release!();
    expect(slurm.calls()).toEqual([]);
  });
});

describe('the jobs of a study', () => {
  const states = async () =>
    (await withJobs(await readStudy(plan.folder))).runs.map(({ name, state, job }) => [
      name,
      state,
      job && `${job.id} ${job.state}${job.reason ? ` ${job.reason}` : ''}`,
    ]);

  test('are shown beside what the folders tell, from the queue and from the accounting', async () => {
    await start();
    const { name } = slurm.tasks()[0]!;
    finish('s-source');
    slurm.update(task => {
      if (task.job !== 1) return;
      task.state = ['COMPLETED', 'RUNNING', 'OUT_OF_MEMORY', 'COMPLETED'][task.index]!;
      delete task.reason;
    });
    expect(await states()).toEqual([
      ['s-source', 'done', '1_0 COMPLETED'],
      ['s-scratch-fr', 'queued', '1_1 RUNNING'],
      ['s-cpt-fr', 'queued', '2_0 PENDING Dependency'],
      ['m-source', 'pending', '1_2 OUT_OF_MEMORY'],
      ['m-scratch-fr', 'pending', '1_3 COMPLETED'],
      ['m-cpt-fr', 'queued', '3_0 PENDING Dependency'],
      ['m-cpt-fr-replay0.1-extra', 'queued', '3_1 PENDING Dependency'],
    ]);
    slurm.reset(); // a queue forgets what has ended
    expect((await states()).every(([, , job]) => job === undefined)).toBe(true);
    slurm.set('accounted.json', [`${name}|1_2|TIMEOUT`, `${name}|1_3|CANCELLED by 0`]);
    expect((await states()).filter(([, , job]) => job)).toEqual([
      ['m-source', 'pending', '1_2 TIMEOUT'],
      ['m-scratch-fr', 'pending', '1_3 CANCELLED'],
    ]);
  });

  test('are cancelled, and those of a study that has none are not', async () => {
    await expect(cancelStudy(plan.folder)).rejects.toThrow(/has no jobs: it was never submitted/);
    await start();
    slurm.update(task => {
      if (task.job === 2) task.state = 'COMPLETED';
    });
    expect((await cancelStudy(plan.folder)).sort()).toEqual([...FIRST, ...OF_M].sort());
    expect(slurm.log()).toEqual(['scancel 1 3']);
    expect(await cancelStudy(plan.folder)).toEqual([]);
    await start();
    expect(submitted().slice(3)).toEqual([FIRST, [...OF_S], OF_M]);
  });
});
