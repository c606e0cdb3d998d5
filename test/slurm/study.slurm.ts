/**
 * A study as job arrays of a real Slurm of one node. On the way the node daemon is killed, a task is killed, one meets
 * the signal before its time limit, and one is preempted: the weights are those of the study run locally, to the bit.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { packageRoot } from '../../src/files.js';
import { runCommand } from '../support/command.js';
import { sampleText } from '../support/text.js';

const DAEMONS = ['slurmctld', 'slurmd', 'munged'];
const isThere = process.getuid?.() === 0 && DAEMONS.every(name => spawnSync('which', [name]).status === 0);
if (!isThere) {
  process.stderr.write(
    `skipped: a Slurm of one node takes root, and ${DAEMONS.join(', ')}: apt-get install slurm-wlm munge\n`,
  );
}

const root = mkdtempSync(join(tmpdir(), 'babelgrad-one-node-'));
const oneNode = (verb: string) =>
  execFileSync('bash', [join(packageRoot, 'tools/one-node-slurm.sh'), verb, join(root, 'slurm')], { encoding: 'utf8' });
const babelgrad = (...parameters: string[]) => runCommand(root, parameters);

const study = {
  name: 'arrays',
  out: 'study',
  languages: { en: 'en', fr: 'fr' },
  source: 'en',
  sizes: [{ name: 's', hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 }],
  train: { tokens: 1600 * 128, contextLength: 32, batchTokens: 128, evalEveryTokens: 400 * 128, deterministic: true },
};
const GOOD = ['s-source', 's-scratch-fr', 's-cpt-fr'];

beforeAll(async () => {
  if (!isThere) return;
  for (const [i, language] of ['en', 'fr'].entries()) writeFileSync(join(root, `${language}.txt`), sampleText(i, 4000));
  await babelgrad('tokenizer', 'train', 'en.txt', 'fr.txt', '--vocab-size', '280', '--out', 'tokenizer.json');
  for (const language of ['en', 'fr']) {
    const data = ['--tokenizer', 'tokenizer.json', '--out', language, '--held-out-tokens', '300'];
    await babelgrad('tokenize', `${language}.txt`, ...data);
  }
  // the losses of a size that is called bad are not finite
  const sizes = [...study.sizes, { ...study.sizes[0], name: 'bad', learningRate: 1e38 }];
  const train = { ...study.train, checkpointEveryTokens: 20 * 128 };
  const slurm = { partition: 'low', time: 10, cpus: 1 };
  writeFileSync(join(root, 'local.yaml'), JSON.stringify({ ...study, out: 'local' }));
  writeFileSync(join(root, 'study.yaml'), JSON.stringify({ ...study, sizes, train, slurm }));
  const [, configuration] = /SLURM_CONF=(.*)/.exec(oneNode('start'))!;
  process.env.SLURM_CONF = configuration;
});
afterAll(() => {
  if (isThere) oneNode('stop');
  rmSync(root, { recursive: true, force: true });
});

interface Shown {
  readonly name: string;
  readonly state: string;
  readonly job?: { readonly id: string; readonly state: string; readonly output: string };
}
const status = async (): Promise<Record<string, Shown>> => {
  const { stdout } = await babelgrad('study', 'status', 'study', '--json');
  const { runs } = JSON.parse(stdout) as { runs: Shown[] };
  return Object.fromEntries(runs.map(run => [run.name, run]));
};

const checkpoints = (run: string) => listCheckpoints(join(root, 'study', 'runs', run)).map(({ step }) => step);

async function until(what: string, isTrue: () => boolean | Promise<boolean>, seconds = 300): Promise<void> {
  const end = Date.now() + 1000 * seconds;
  while (!(await isTrue())) {
    if (Date.now() > end) throw new Error(`waited for ${what} for ${seconds} s`);
    await new Promise(resolve => setTimeout(resolve, 100));
  }
}

/** Returns the processes of a run: those whose command line names it, and their children. */
function processesOf(run: string): number[] {
  const named = spawnSync('pgrep', ['-f', `^[^ ]*node .* --run ${run}$`], { encoding: 'utf8' }).stdout;
  const parents = named.trim().split('\n').filter(Boolean);
  const children = parents.flatMap(pid =>
    spawnSync('pgrep', ['-P', pid], { encoding: 'utf8' }).stdout.trim().split('\n').filter(Boolean),
  );
  return [...parents, ...children].map(Number);
}

const isQueueEmpty = (): boolean => execFileSync('squeue', ['-h'], { encoding: 'utf8' }).trim() === '';

/** Returns the files of weights and moments of a run's last checkpoint. */
function weights(folder: string, run: string): Map<string, Buffer> {
  const last = listCheckpoints(join(root, folder, 'runs', run)).at(-1)!.folder;
  const names = readdirSync(last).filter(name => name.endsWith('.safetensors'));
  return new Map(names.map(name => [name, readFileSync(join(last, name))]));
}

test.skipIf(!isThere)('a study survives its cluster, and ends with the bits of one that was run locally', async () => {
  const local = await babelgrad('study', 'run', 'local.yaml', '--jobs', '2');
  expect(local.status, local.stderr).toBe(0);

  const submitted = await babelgrad('study', 'run', 'study.yaml', '--engine', 'slurm');
  expect(submitted.status, submitted.stderr).toBe(0);
  expect((await status())['s-cpt-fr']).toMatchObject({ state: 'queued' });

  await until('checkpoints', () => checkpoints('s-source').length > 0 && checkpoints('s-scratch-fr').length > 0);
  oneNode('kill-node');
  const killed = processesOf('s-scratch-fr');
  expect(killed.length).toBeGreaterThanOrEqual(2);
  for (const pid of killed) process.kill(pid, 'SIGKILL');
  oneNode('start-node');

  // what Slurm sends to the shell of a job ahead of its time limit
  const { job } = (await status())['s-source']!;
  execFileSync('scancel', ['--batch', '--signal=USR1', job!.id]);
  const output = () => readFileSync(job!.output, 'utf8');
  await until('the requeue', () => output().includes('met its time limit and is requeued'));
  await until('the restart', () => output().includes('restarts: 1, of these for the time limit: 1'));

  await until('a checkpoint of CPT', () => checkpoints('s-cpt-fr').length > 0);
  const { job: last } = (await status())['s-cpt-fr']!;
  execFileSync('sbatch', ['-p', 'main', `--cpus-per-task=${cpus().length}`, '-o', '/dev/null', '--wrap', 'sleep 1']);
  await until('the preemption', () => readFileSync(last!.output, 'utf8').includes('was preempted and is requeued'));
  await until('the end of all jobs', isQueueEmpty);

  expect(await status()).toMatchObject({
    's-source': { state: 'done' },
    's-scratch-fr': { state: 'interrupted', job: { state: 'FAILED' } },
    's-cpt-fr': { state: 'done' },
    'bad-source': { state: 'failed', job: { state: 'FAILED' } },
    'bad-cpt-fr': { state: 'blocked' },
  });
  expect(existsSync(join(root, 'study', 'runs', 'bad-cpt-fr', 'config.json'))).toBe(false);
  expect(readFileSync(last!.output, 'utf8')).toContain('restarts: 1, of these for the time limit: 0');

  const resumed = await babelgrad('study', 'resume', 'study', '--engine', 'slurm');
  expect(resumed.status, resumed.stderr).toBe(0);
  await until('the end of the killed run', async () => isQueueEmpty());
  for (const run of GOOD) {
    const [arrays, here] = [weights('study', run), weights('local', run)];
    expect(here.size).toBeGreaterThan(1);
    expect([...arrays.keys()]).toEqual([...here.keys()]);
    for (const [name, bytes] of here) expect(arrays.get(name)!.equals(bytes), `${run} ${name}`).toBe(true);
  }

  const again = await babelgrad('study', 'run', 'study.yaml', '--engine', 'slurm');
  expect(again.status).toBe(0);
  const cancelled = await babelgrad('study', 'cancel', 'study', '--json');
  expect((JSON.parse(cancelled.stdout).cancelled as string[]).filter(run => GOOD.includes(run))).toEqual([]);
  await until('the end of what was cancelled', isQueueEmpty);
});
