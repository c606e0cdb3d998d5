/** Disks that are full, read-only, or take no more of a file: it is said which file, and what was there stays whole. */
import { execFileSync, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { packageRoot } from '../../src/files.js';
import { runCommand } from '../support/command.js';
import { resultOf, startCommand, tokenizeLanguages } from './processes.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-disk-'));
const disk = join(root, 'disk');

/** Mounts a file system in memory of so many KiB, or resizes it. */
const mount = (...options: string[]) => execFileSync('mount', options, { stdio: 'pipe' });
const mountDisk = (kib: number) => mount('-t', 'tmpfs', '-o', `size=${kib}k`, 'tmpfs', disk);
const resizeDisk = (kib: number) => mount('-o', `remount,size=${kib}k`, disk);
const unmountDisk = () => execFileSync('umount', [disk], { stdio: 'pipe' });

/** Only root may mount; elsewhere the tests are skipped, and say so. */
const canMount = (() => {
  mkdirSync(disk);
  try {
    mountDisk(64);
    unmountDisk();
    return true;
  } catch {
    process.stdout.write('no file system can be mounted here: the tests of full disks are skipped\n');
    return false;
  }
})();

const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
const runFields = (out: string, steps: number, checkpointEvery: number, more: Record<string, unknown> = {}) => ({
  out,
  sources: [{ name: 'en', path: 'en' }],
  ...model,
  tokens: steps * 128,
  contextLength: 32,
  batchTokens: 128,
  evalEveryTokens: steps * 128,
  evalTokens: 200,
  checkpointEveryTokens: checkpointEvery * 128,
  keepCheckpoints: 1000,
  deterministic: true,
  ...more,
});
const write = (file: string, fields: object) => writeFileSync(join(root, file), stringify(fields));
const babelgrad = (...parameters: string[]) => runCommand(root, parameters);
const succeeds = async (...parameters: string[]) => {
  const { status, stderr } = await babelgrad(...parameters);
  expect(status, stderr).toBe(0);
};
const unfinishedIn = (folder: string) => readdirSync(folder).filter(name => /partial|replaced/.test(name));

beforeAll(async () => {
  await tokenizeLanguages(root);
  write('whole.yaml', runFields('whole', 40, 2));
  await succeeds('train', '--config', 'whole.yaml');
});
afterAll(() => rmSync(root, { recursive: true }));

describe.skipIf(!canMount)('a full disk', () => {
  afterEach(() => unmountDisk());

  test('ends a run whose checkpoint does not fit; with room again it ends with the same bits', async () => {
    mountDisk(1024);
    write('full.yaml', runFields('disk/run', 40, 2));
    const { status, stderr } = await babelgrad('train', '--config', 'full.yaml');
    expect(status).toBe(1);
    const said =
      /error: cannot write 'disk\/run\/checkpoints\/step-\d+': no space left on the device; the checkpoint of step (\d+) is whole; go on with 'babelgrad resume disk\/run'\n$/.exec(
        stderr,
      );
    expect(said, stderr).not.toBeNull();
    expect(Number(said![1])).toBeGreaterThan(0);
    expect(unfinishedIn(join(disk, 'run', 'checkpoints'))).toEqual([]);
    resizeDisk(64 * 1024);
    await succeeds('resume', 'disk/run');
    expect(resultOf(join(disk, 'run'))).toEqual(resultOf(join(root, 'whole')));
  });

  test('that has room again loses no line of metrics', async () => {
    const steps = 1500;
    write('lines-whole.yaml', runFields('lines-whole', steps, steps));
    await succeeds('train', '--config', 'lines-whole.yaml');
    mountDisk(8 * 1024);
    write('lines.yaml', runFields('disk/lines', steps, steps));
    const { child, ended } = startCommand(root, ['train', '--config', 'lines.yaml']);
    const metrics = join(disk, 'lines', 'metrics.jsonl');
    const sizeOf = () => (existsSync(metrics) ? statSync(metrics).size : 0);
    while (sizeOf() < 2000 && child.exitCode === null) await sleep(10);
    fill();
    let stderr = '';
    child.stderr.on('data', text => {
      stderr += text;
    });
    while (!stderr.includes('kept in memory') && child.exitCode === null) await sleep(10);
    rmSync(join(disk, 'filler'));
    const { status, stderr: all } = await ended;
    expect(status, all).toBe(0);
    expect(all.match(/cannot write '.*metrics.jsonl': no space left on the device; its lines are kept/g)).toHaveLength(
      1,
    );
    expect(resultOf(join(disk, 'lines'))).toEqual(resultOf(join(root, 'lines-whole')));
  });

  const fill = () => {
    try {
      writeFileSync(join(disk, 'filler'), Buffer.alloc(16 * 2 ** 20));
    } catch {
      // it has taken what it could
    }
  };

  test.each([
    ['tokenize', ['tokenize', 'en.txt', '--tokenizer', 'tokenizer.json', '--out', 'disk/out'], 'disk/out'],
    ['export', ['export', '--model', 'whole', '--out', 'disk/out'], 'disk/out'],
    ['report', ['report', 'whole', '--out', 'disk/out.html'], 'disk/out.html'],
    [
      'tokenizer train',
      ['tokenizer', 'train', 'en.txt', '--vocab-size', '280', '--out', 'disk/out.json'],
      'disk/out.json',
    ],
  ])('is named by %s, which leaves nothing', async (_, parameters, out) => {
    mountDisk(16);
    const { status, stderr } = await babelgrad(...parameters);
    expect([status, stderr.split('\n').filter(line => line.startsWith('error'))]).toEqual([
      1,
      [`error: cannot write '${out}': no space left on the device`],
    ]);
    expect(readdirSync(disk)).toEqual([]);
  });

  test('that is read-only is refused before anything is done', async () => {
    mountDisk(1024);
    mount('-o', 'remount,ro', disk);
    write('read-only.yaml', runFields('disk/run', 40, 2));
    for (const parameters of [
      ['train', '--config', 'read-only.yaml'],
      ['tokenize', 'en.txt', '--tokenizer', 'tokenizer.json', '--out', 'disk/out'],
    ]) {
      const { status, stderr } = await babelgrad(...parameters);
      expect([status, stderr]).toEqual([
        2,
        expect.stringMatching(/cannot write 'disk\/.*': the file system is read-only/),
      ]);
    }
  });
});

test('a file that may grow no further ends a run in the same way', async () => {
  write('limited.yaml', runFields('limited', 40, 2));
  // the first checkpoints' files are of the same sizes, so that it is the metrics that meet the limit, or nothing does
  const bytes = statSync(join(root, 'whole', 'checkpoints', 'step-00000040', 'optimizer.safetensors')).size;
  const limit = Math.floor(bytes / 1024) - 1;
  const command = `ulimit -f ${limit}; exec "$0" "$@"`;
  const child = spawn(
    'bash',
    ['-c', command, process.execPath, join(packageRoot, 'dist/src/cli/main.js'), 'train', '--config', 'limited.yaml'],
    { cwd: root },
  );
  let stderr = '';
  child.stderr.on('data', text => {
    stderr += text;
  });
  const status = await new Promise<number | null>(resolve => child.on('close', resolve));
  expect(status).toBe(1);
  expect(stderr).toMatch(/error: cannot write 'limited\/checkpoints\/step-00000000': file too large/);
  expect(readFileSync(join(root, 'limited', 'metrics.jsonl'), 'utf8')).toMatch(/"kind":"evaluation"/);
  // it ended before its first checkpoint: the same command starts it again
  await succeeds('train', '--config', 'limited.yaml');
  expect(resultOf(join(root, 'limited'))).toEqual(resultOf(join(root, 'whole')));
});
