/** Runs and studies that are killed or interrupted at random points end with the bits of those that never were. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { packageRoot } from '../../src/files.js';
import { Random } from '../../src/random.js';
import { readRunConfig } from '../../src/run/folder.js';
import { runCommand } from '../support/command.js';
import { after, isLong, killGroup, resultOf, seed, startCommand, tokenizeLanguages } from './processes.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-kills-'));
beforeAll(() => tokenizeLanguages(root));
afterAll(() => rmSync(root, { recursive: true }));

const KILLS = isLong ? 500 : 50;
const STUDY_KILLS = isLong ? 100 : 20;
process.stdout.write(`seed ${seed} (BABELGRAD_FAULTS_SEED), ${KILLS} kills of a run, ${STUDY_KILLS} of a study\n`);

/** The checkpoints of a run, or of the runs of a study, by name. */
function checkpointsIn(folder: string): string {
  const runs = join(root, folder, 'runs');
  const folders = [join(root, folder), ...(existsSync(runs) ? readdirSync(runs).map(name => join(runs, name)) : [])];
  return folders.flatMap(run => listCheckpoints(run).map(checkpoint => checkpoint.folder)).join();
}

/**
 * Waits until a command is to be ended: every other time from its start, which meets it before it has begun; else from
 * its first new checkpoint on, which meets steps and the writing of the next ones.
 */
async function untilItIsTime(folder: string, i: number, random: Random): Promise<void> {
  const before = checkpointsIn(folder);
  const given = performance.now();
  while (i % 2 === 1 && checkpointsIn(folder) === before && performance.now() - given < 60_000) await sleep(5);
  await sleep((i % 2 === 1 ? 400 : 2500) * random.uniform());
}

const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
/** A checkpoint every other step, so that many kills meet one that is being written. */
const training = (steps: number) => ({
  tokens: steps * 128,
  contextLength: 32,
  batchTokens: 128,
  evalEveryTokens: 10 * 128,
  evalTokens: 200,
  checkpointEveryTokens: 2 * 128,
  deterministic: true,
});
const writeRun = (name: string, steps: number) => {
  const fields = { out: name, sources: [{ name: 'en', path: 'en' }], ...model, ...training(steps) };
  writeFileSync(join(root, `${name}.yaml`), stringify(fields));
};
const whole = async (...parameters: string[]) => {
  const { status, stderr } = await runCommand(root, parameters);
  expect(status, stderr).toBe(0);
};
/** The command that started a run, until it has a checkpoint to go on from. */
const nextCommand = (run: string): string[] =>
  checkpointsIn(run) === '' ? ['train', '--config', `${run}.yaml`] : ['resume', run];

test.concurrent('a run that is killed again and again', async () => {
  const random = new Random(seed, 'kills of a run');
  const steps = 12 * KILLS;
  for (const name of ['killed', 'never-killed']) writeRun(name, steps);
  let kills = 0;
  while (kills < KILLS) {
    const command = nextCommand('killed');
    const { status, stderr } = await after(untilItIsTime('killed', kills, random), root, command, killGroup);
    if (status === 0) break; // it has come to its end before
    expect(status, `${command.join(' ')}: ${stderr}`).toBe(137);
    kills++;
  }
  await whole(...nextCommand('killed'));
  await whole('train', '--config', 'never-killed.yaml');
  expect(resultOf(join(root, 'killed'))).toEqual(resultOf(join(root, 'never-killed')));
  expect(kills, 'the run is long enough to be killed').toBe(KILLS);
  expect(readdirSync(join(root, 'killed')).sort()).toEqual(['checkpoints', 'config.json', 'metrics.jsonl']);
  expect(readdirSync(join(root, 'killed', 'checkpoints'))).toEqual(
    readdirSync(join(root, 'never-killed', 'checkpoints')),
  );
});

test.concurrent('a run with moments in host memory that is killed in the middle of updates', async () => {
  const random = new Random(seed, 'kills in updates');
  const wanted = isLong ? 50 : 6;
  for (const name of ['offloaded', 'on-device']) writeRun(name, 10 * wanted);
  const preload = pathToFileURL(join(packageRoot, 'test/faults/kill-in-update.mjs')).href;
  for (let kills = 0; kills < wanted; kills++) {
    const command = nextCommand('offloaded');
    const isFirst = command[0] === 'train';
    // a step has about 16 pieces, and every other step a checkpoint: a run that goes on is killed in its first steps
    const { status, stderr } = await startCommand(root, [...command, ...(isFirst ? ['--offload', 'moments'] : [])], {
      NODE_OPTIONS: `--import=${preload}`,
      KILL_AT_PIECE: String(1 + random.integer(100)),
    }).ended;
    expect(status, `${command.join(' ')}: ${stderr}`).toBe(137);
  }
  expect(readRunConfig(join(root, 'offloaded')).offload).toBe('moments');
  await whole(...nextCommand('offloaded'));
  await whole('train', '--config', 'on-device.yaml');
  expect(resultOf(join(root, 'offloaded'))).toEqual(resultOf(join(root, 'on-device')));
});

test.concurrent.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
  ['SIGHUP', 129],
] as const)('a run that %s interrupts, once or twice', async (signal, expected) => {
  const random = new Random(seed, signal);
  const name = `interrupted-${signal}`;
  for (const run of [name, `${name}-not`]) writeRun(run, 100);
  for (let i = 0; i < (isLong ? 20 : 4); i++) {
    const twice = i > 1;
    const { status, stderr } = await after(untilItIsTime(name, i, random), root, nextCommand(name), child => {
      child.kill(signal);
      if (twice) setTimeout(() => child.kill('SIGTERM'), 20 * random.uniform());
    });
    if (status === 0) break;
    expect(twice ? [expected, 143] : [expected], stderr).toContain(status);
  }
  await whole(...nextCommand(name));
  await whole('train', '--config', `${name}-not.yaml`);
  expect(resultOf(join(root, name))).toEqual(resultOf(join(root, `${name}-not`)));
});

test.concurrent('a study whose processes are killed, its parent alone or all of them', async () => {
  const random = new Random(seed, 'kills of a study');
  const study = {
    name: 'killed',
    languages: { en: 'en', fr: 'fr' },
    source: 'en',
    sizes: [{ name: 's', ...model }],
    train: training(8 * STUDY_KILLS),
  };
  for (const out of ['study', 'study-whole']) writeFileSync(join(root, `${out}.yaml`), stringify({ ...study, out }));
  let kills = 0;
  while (kills < STUDY_KILLS) {
    const onlyParent = kills % 4 < 2;
    const end = onlyParent ? (child: { kill(signal: 'SIGKILL'): boolean }) => child.kill('SIGKILL') : killGroup;
    const { status, stderr } = await after(
      untilItIsTime('study', kills, random),
      root,
      ['study', 'run', 'study.yaml'],
      end,
    );
    if (status === 0) break;
    expect(status, stderr).toBe(137);
    kills++;
  }
  await whole('study', 'run', 'study.yaml');
  await whole('study', 'run', 'study-whole.yaml', '--jobs', '2');
  for (const run of ['s-source', 's-scratch-fr', 's-cpt-fr']) {
    const [found, expected] = ['study', 'study-whole'].map(out => resultOf(join(root, out, 'runs', run)));
    expect(found, run).toEqual(expected);
  }
  expect(kills, 'the study is long enough to be killed').toBeGreaterThan(STUDY_KILLS / 2);
});
