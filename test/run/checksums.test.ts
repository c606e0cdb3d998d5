/** A flipped bit is noticed wherever it lies, the file is named, and the run goes on from what is whole. */
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { exportModel } from '../../src/checkpoint/export.js';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { CHECKSUMS } from '../../src/checksums.js';
import { UserError } from '../../src/errors.js';
import { Random } from '../../src/random.js';
import { resumeRun } from '../../src/run/resume.js';
import { type FolderCheck, verifyPath } from '../../src/run/verify.js';
import { runCommand } from '../support/command.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { root, data, run, start, continueFrom, lastCheckpoint } = useSmallRuns(context);
const resume = (options: Parameters<typeof resumeRun>[1] = {}) =>
  resumeRun(run('cut'), { device: context.device, ...options });

/** Flips one bit of a file; the function that it returns flips it back. */
function flip(path: string, random: Random): () => void {
  const bytes = readFileSync(path);
  const bit = random.integer(8 * bytes.length);
  const turn = () => {
    bytes[bit >> 3]! ^= 1 << (bit & 7);
    writeFileSync(path, bytes);
  };
  turn();
  return turn;
}

async function verify(path: string): Promise<FolderCheck[]> {
  const checks: FolderCheck[] = [];
  for await (const check of verifyPath(path)) checks.push(check);
  return checks;
}

beforeAll(async () => {
  await start('whole');
});
beforeEach(() => {
  rmSync(run('cut'), { recursive: true, force: true });
  cpSync(run('whole'), run('cut'), { recursive: true });
  rmSync(lastCheckpoint('cut'), { recursive: true });
});

describe('one flipped bit', () => {
  const places: [string, () => string][] = [
    ['the weights', () => join(lastCheckpoint('cut'), 'model.safetensors')],
    ['the moments', () => join(lastCheckpoint('cut'), 'optimizer.safetensors')],
    ['a training shard', () => join(data('en'), 'train-00000.bin')],
    ['a held-out shard', () => join(data('fr'), 'heldout.bin')],
  ];
  test.each(places)('in %s is noticed by resume and verify, 30 of 30, and the file named', async (_, place) => {
    const path = place();
    const random = new Random(7, path.slice(root.length));
    for (let i = 0; i < 30; i++) {
      const back = flip(path, random);
      const attempt = resume();
      await expect(attempt).rejects.toThrow(`'${path}' is damaged: its SHA-256 is not the one in SHA256SUMS`);
      await expect(attempt).rejects.toBeInstanceOf(UserError);
      const checks = await verify(join(path, '..'));
      expect(checks.map(({ faults }) => faults.length)).toEqual([1]);
      back();
    }
    expect((await verify(join(path, '..')))[0]).toMatchObject({ faults: [] });
  });

  test('is noticed by cpt and export, too, which name the checkpoint that is whole', async () => {
    const bad = lastCheckpoint('cut');
    flip(join(bad, 'model.safetensors'), new Random(1, 'bit'));
    const whole = listCheckpoints(run('cut')).at(-2)!.folder;
    const message = `'${join(bad, 'model.safetensors')}' is damaged: its SHA-256 is not the one in SHA256SUMS; '${whole}' is whole`;
    await expect(continueFrom(bad, 'continued')).rejects.toThrow(message);
    await expect(exportModel(bad, join(root, 'exported'), { type: 'F16' })).rejects.toThrow(message);
    expect(existsSync(run('continued')) || existsSync(join(root, 'exported'))).toBe(false);
  });
});

describe('a damaged checkpoint', () => {
  test.each([
    ['a flipped bit', (bad: string) => void flip(join(bad, 'optimizer.safetensors'), new Random(2, 'bit'))],
    ['a file that is gone', (bad: string) => rmSync(join(bad, 'training.json'))],
    ['checksums that are no such file', (bad: string) => writeFileSync(join(bad, CHECKSUMS), 'x ../../config.json\n')],
    [
      'a file that is cut off, without checksums',
      (bad: string) => {
        rmSync(join(bad, CHECKSUMS));
        truncateSync(join(bad, 'model.safetensors'), 5000);
      },
    ],
  ])('%s: the command that resume offers goes on to the same bits', async (_, damage) => {
    const [, before, bad] = listCheckpoints(run('cut')).map(({ folder }) => folder);
    damage(bad!);
    const way = `'${before}' is whole; go on from it with 'babelgrad resume ${run('cut')} --checkpoint ${basename(before!)}'`;
    await expect(resume()).rejects.toThrow(way);
    const notes: string[] = [];
    await resume({ checkpoint: basename(before!), observer: { onNote: note => notes.push(note) } });
    expectSameCheckpoint(lastCheckpoint('cut'), lastCheckpoint('whole'));
    expect(notes).toContain(`a later checkpoint was moved to '${bad}.set-aside'; remove it when nobody needs it`);
    expect(existsSync(`${bad}.set-aside`)).toBe(true);
    expect((await verify(run('cut'))).flatMap(({ faults }) => faults)).toEqual([]);
  });

  test('of a run that has no other that is whole: resume says so, and a wrong name is refused', async () => {
    for (const { folder } of listCheckpoints(run('cut'))) {
      flip(join(folder, 'model.safetensors'), new Random(3, folder));
    }
    await expect(resume()).rejects.toThrow(/no earlier checkpoint is whole/);
    await expect(resume({ checkpoint: 'step-00000005' })).rejects.toThrow(
      /has no checkpoint 'step-00000005'; it has step-00000000, step-00000004, step-00000008/,
    );
  });

  test('is taken all the same with verify: false, where it can be read', async () => {
    writeFileSync(join(lastCheckpoint('cut'), CHECKSUMS), `${'0'.repeat(64)}  model.safetensors\n`);
    await expect(resume()).rejects.toThrow(/is damaged/);
    await resume({ verify: false });
    expectSameCheckpoint(lastCheckpoint('cut'), lastCheckpoint('whole'));
  });
});

test('without checksums a run goes on as before, with a note', async () => {
  const latest = lastCheckpoint('cut');
  rmSync(join(latest, CHECKSUMS));
  const notes: string[] = [];
  await resume({ observer: { onNote: note => notes.push(note) } });
  expect(notes.filter(note => note.includes('checksums'))).toEqual([
    `'${latest}' was written without checksums (SHA256SUMS): flipped bits in it would not be noticed`,
  ]);
  expectSameCheckpoint(lastCheckpoint('cut'), lastCheckpoint('whole'));
});

test('sha256sum checks what is written: a checkpoint, a data set, an export', async () => {
  const exported = join(root, 'sums');
  await exportModel(lastCheckpoint('whole'), exported, { type: 'BF16', shardBytes: 20_000 });
  for (const folder of [lastCheckpoint('whole'), data('en'), exported]) {
    const said = execFileSync('sha256sum', ['--check', '--strict', CHECKSUMS], { cwd: folder, encoding: 'utf8' });
    const files = said.split('\n').filter(Boolean);
    expect(files.every(line => line.endsWith(': OK'))).toBe(true);
    const there = readFileSync(join(folder, CHECKSUMS), 'utf8').split('\n').filter(Boolean).length;
    expect(files).toHaveLength(there);
  }
});

test('the command names each folder and what is wrong, with status 1; 2 where there is nothing to verify', async () => {
  const bad = lastCheckpoint('cut');
  flip(join(bad, 'model.safetensors'), new Random(4, 'bit'));
  const whole = listCheckpoints(run('cut')).at(-2)!.folder;
  const good = await runCommand(root, ['verify', run('whole'), data('en')]);
  expect(good.stdout).toMatch(/step-00000012: good, 6 files, .* bytes\n.*en: good, 4 files/s);
  expect(good.status, good.stderr).toBe(0);
  const damaged = await runCommand(root, ['verify', run('cut')]);
  expect(damaged.stdout).toContain(`${bad}: damaged\n`);
  expect(damaged.stdout).toContain(`  '${whole}' is the latest checkpoint that is whole\n`);
  expect(damaged.status).toBe(1);
  const json = await runCommand(root, ['verify', run('cut'), '--json']);
  const { good: isGood, folders } = JSON.parse(json.stdout) as { good: boolean; folders: FolderCheck[] };
  expect([isGood, folders.length, folders.at(-1)!.faults.length]).toEqual([false, 3, 1]);
  expect((await runCommand(root, ['verify', root])).status).toBe(2);
});
