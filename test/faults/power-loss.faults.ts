/**
 * Loss of power at every moment: after each thing that a program did to its files, unflushed data and entries are
 * dropped, and what is left is read. It is the old state or the new one, whole.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { damageOfCheckpoint } from '../../src/checkpoint/whole.js';
import { verifyFolder } from '../../src/checksums.js';
import { TokenDataset } from '../../src/data/shards.js';
import { packageRoot, placeOfFolder } from '../../src/files.js';
import { Random } from '../../src/random.js';
import { tokenizeSample } from '../support/command.js';
import { Disk, type Operation } from './disk.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-power-'));
afterAll(() => rmSync(root, { recursive: true }));
const main = join(packageRoot, 'dist/src/cli/main.js');

/** What is left where all pending entries are lost, where none is, and where some are, drawn by a seed. */
const LOSSES: readonly ((random: Random) => (pending: number) => number)[] = [
  () => () => 0,
  () => pending => pending,
  random => pending => random.integer(pending + 1),
  random => pending => random.integer(pending + 1),
];

/** Runs a program that writes below a folder, and returns what it did there. */
function record(name: string, program: (folder: string) => readonly string[]): { disk: string; done: Operation[] } {
  const disk = join(root, name);
  mkdirSync(disk);
  const log = join(root, `${name}.json`);
  const parameters = ['--import', join(packageRoot, 'test/faults/recorder.mjs'), ...program(disk)];
  const env = { ...process.env, RECORD_ROOT: disk, RECORD_FILE: log };
  const { status, stderr } = spawnSync(process.execPath, parameters, { cwd: root, env, encoding: 'utf8' });
  expect(status, stderr).toBe(0);
  return { disk, done: JSON.parse(readFileSync(log, 'utf8')) };
}

/** Calls `check` with what is left after a loss of power at each of `moments`. @returns the number of remains. */
async function eachLoss(
  { disk: place, done }: ReturnType<typeof record>,
  moments: (operation: Operation, index: number) => boolean,
  check: (folder: string, index: number) => Promise<void> | void,
): Promise<number> {
  const disk = new Disk(place);
  let count = 0;
  for (const [index, operation] of done.entries()) {
    disk.apply(operation);
    if (!moments(operation, index)) continue;
    for (const [i, loss] of LOSSES.entries()) {
      const target = join(root, 'remains');
      rmSync(target, { recursive: true, force: true });
      disk.writeRemains(target, loss(new Random(index, 'loss', i)));
      await check(target, index);
      count++;
    }
  }
  return count;
}

beforeAll(async () => {
  await tokenizeSample(root);
});

describe('a file and a folder that are replaced', () => {
  test('are the old or the new, whole, from the moment that the old was written', async () => {
    const recorded = record('states', folder => [join(packageRoot, 'test/faults/write-states.mjs'), folder]);
    const { done } = recorded;
    const isEndOfFolder = ({ kind, path }: Operation) => kind === 'sync' && path.endsWith('/above');
    const firstFile = done.findIndex(({ kind, path }) => kind === 'sync' && path.endsWith('/er'));
    const firstFolder = done.findIndex((operation, i) => isEndOfFolder(operation) && done[i - 1]!.kind === 'rename');
    expect(firstFile).toBeGreaterThan(0);
    expect(firstFolder).toBeGreaterThan(firstFile);
    const seen = new Set<string>();
    const count = await eachLoss(
      recorded,
      () => true,
      async (folder, index) => {
        const file = join(folder, 'deep', 'er', 'file.json');
        if (index >= firstFile || existsSync(file)) {
          const { state, filling } = JSON.parse(readFileSync(file, 'utf8'));
          expect(filling).toHaveLength(3000);
          seen.add(`file ${state}`);
        }
        const place = placeOfFolder(join(folder, 'above', 'folder'));
        if (index < firstFolder && !existsSync(place)) return;
        const checks = await verifyFolder(place);
        expect(checks?.map(({ state }) => state)).toEqual(['good', 'good', 'good']);
        const state = existsSync(join(place, 'only-in-old')) ? 'old' : 'new';
        for (const name of ['one', 'two']) expect(readFileSync(join(place, name), 'utf8')).toBe(`${state} ${name}`);
        seen.add(`folder ${state}`);
      },
    );
    expect(count).toBe(LOSSES.length * done.length);
    expect([...seen].sort()).toEqual(['file new', 'file old', 'folder new', 'folder old']);
  });

  test('would be lost without the flushes: the disk that loses power is one that does', async () => {
    const recorded = record('unflushed', folder => [join(packageRoot, 'test/faults/write-states.mjs'), folder]);
    const done = recorded.done.filter(({ kind }) => kind !== 'sync');
    const broken = new Set<string>();
    await eachLoss(
      { ...recorded, done },
      (_, i) => i === done.length - 1,
      folder => {
        const file = join(folder, 'deep', 'er', 'file.json');
        broken.add(!existsSync(file) ? 'no file' : readFileSync(file, 'utf8') === '' ? 'empty' : 'whole');
      },
    );
    expect(broken).toContain('no file');
    expect(broken).toContain('empty');
    expect(broken).not.toContain('whole');
  });
});

test('a data set appears whole or not at all', async () => {
  const recorded = record('data', folder => [
    ...[main, 'tokenize', 'en.txt', '--tokenizer', 'tokenizer.json', '--out', join(folder, 'en')],
    ...['--held-out-tokens', '300'],
  ]);
  const seen = new Set<boolean>();
  await eachLoss(
    recorded,
    () => true,
    async folder => {
      const place = join(folder, 'en');
      seen.add(existsSync(place));
      if (!existsSync(place)) return;
      TokenDataset.open(place).close();
      expect((await verifyFolder(place))!.every(({ state }) => state === 'good')).toBe(true);
    },
  );
  expect(seen.size, 'there were losses before and after').toBe(2);
});

test('a run keeps a whole checkpoint at every moment after its first, and each that is there is whole', async () => {
  const recorded = record('run', folder => [
    ...[main, 'train', '--out', join(folder, 'run'), '--source', 'en=en', '--preset', 'tiny', '--tokens', '1024'],
    ...['--context-length', '32', '--batch-tokens', '128', '--eval-tokens', '64', '--eval-every-tokens', '512'],
    ...['--checkpoint-every-tokens', '256', '--keep-checkpoints', '1', '--deterministic'],
  ]);
  const { done } = recorded;
  const isPlaced = (operation: Operation) => operation.kind === 'rename' && /step-\d{8}$/.test(operation.to);
  const placed = done.flatMap((operation, i) => (isPlaced(operation) ? [i] : []));
  expect(placed.length).toBeGreaterThanOrEqual(4);
  const found = new Set<number>();
  // what is written to a tensor's file changes nothing that is not dropped
  const count = await eachLoss(
    recorded,
    ({ kind }, i) => kind !== 'write' || i % 16 === 0,
    async (folder, index) => {
      const checkpoints = listCheckpoints(join(folder, 'run'));
      if (index > placed[0]!) expect(checkpoints.length, `after operation ${index}`).toBeGreaterThanOrEqual(1);
      for (const { folder, step } of checkpoints) {
        expect(await damageOfCheckpoint(folder)).toBeUndefined();
        found.add(step);
      }
    },
  );
  expect(count).toBeGreaterThan(200);
  expect(found.size).toBe(placed.length);
  expect(readdirSync(join(root, 'run', 'run', 'checkpoints'))).toHaveLength(1);
});
