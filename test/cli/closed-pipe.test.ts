/** A reader that leaves, as `head` does, or a device that is full: nothing is lost, and no stack trace is shown. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { packageRoot } from '../../src/files.js';
import { tokenizeSample } from '../support/command.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-closed-pipe-'));
afterAll(() => rmSync(root, { recursive: true }));

const start = (...parameters: string[]): ChildProcess =>
  spawn(process.execPath, [join(packageRoot, 'dist/src/cli/main.js'), ...parameters], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });

test('help into a pipe that nobody reads', async () => {
  const child = start('train', '--help');
  child.stdout!.destroy();
  let errors = '';
  child.stderr!.on('data', text => {
    errors += text;
  });
  await new Promise(resolve => child.on('close', resolve));
  expect(errors).toBe('');
});

test.runIf(existsSync('/dev/full'))('a device that is full is named in one line', async () => {
  const full = openSync('/dev/full', 'w');
  const child = spawn(process.execPath, [join(packageRoot, 'dist/src/cli/main.js'), 'train', '--help'], {
    stdio: ['ignore', full, 'pipe'],
  });
  closeSync(full);
  let errors = '';
  child.stderr!.on('data', text => {
    errors += text;
  });
  const status = await new Promise(resolve => child.on('close', resolve));
  expect(errors).toBe('error: cannot write to standard output: no space left on the device\n');
  expect(status).toBe(1);
});

test('a run is saved where it is', async () => {
  await tokenizeSample(root);
  const size = ['--hidden-size', '32', '--intermediate-size', '48', '--num-hidden-layers', '1'];
  const data = ['--source', 'en=en', '--context-length', '32', '--batch-tokens', '128', '--tokens', '128000'];
  const child = start('train', ...size, '--num-attention-heads', '2', ...data, '--deterministic', '--out', 'run');
  const ended = new Promise(resolve => child.on('close', resolve));
  // progress is written while it trains
  child.stdout!.destroy();
  child.stderr!.on('data', text => {
    if (String(text).includes('tokens/s')) child.stderr!.destroy(); // there is a rate once there are steps
  });
  await ended;
  const kept = readdirSync(join(root, 'run', 'checkpoints')).map(name => Number(/\d+/.exec(name)![0]));
  const step = Math.max(...kept);
  expect(step).toBeGreaterThan(0);
  expect(step).toBeLessThan(1000);
}, 120_000);
