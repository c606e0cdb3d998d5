/** `tune batch` on a run of a few steps: what it says, and what it refuses. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCommand, tokenizeSample } from '../support/command.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-tune-batch-'));
afterAll(() => rmSync(root, { recursive: true }));
const model = ['--hidden-size', '32', '--intermediate-size', '48', '--num-hidden-layers', '1'];
const batch = ['--num-attention-heads', '2', '--context-length', '32', '--batch-tokens', '128', '--tokens', '512'];

beforeAll(async () => {
  await tokenizeSample(root);
  const given = ['train', ...model, ...batch, '--source', 'en=en', '--out', 'run', '--deterministic'];
  const { status, stderr } = await runCommand(root, given);
  expect(status, stderr).toBe(0);
}, 120_000);

test('a checkpoint has a noise scale with an interval, in tokens, and what that means for its run', async () => {
  const sizes = ['--small', '2', '--large', '8', '--draws', '4'];
  const { status, stdout, stderr } = await runCommand(root, ['tune', 'batch', 'run', ...sizes, '--json']);
  expect(status, stderr).toBe(0);
  const { checkpoints } = JSON.parse(stdout);
  expect(checkpoints).toHaveLength(1);
  const [{ noiseScale, interval, gradient, noise, ...found }] = checkpoints;
  expect(found).toMatchObject({ tokens: 512, batchTokens: 128, draws: 4, small: 2, large: 8 });
  expect(noiseScale).toBe(Math.round((32 * noise) / gradient));
  expect(interval[0]).toBeLessThanOrEqual(noiseScale);
  expect(stderr).toContain('a critical batch of about');
  const parts = noiseScale < 128 ? 'less than one' : `about ${Math.round(noiseScale / 128)}`;
  expect(stderr).toContain(`With micro-batches of 4 × 32 tokens (1 a step now) that is ${parts} a step`);
  expect(stderr).toContain('arXiv 2410.21676');
});

test('what is no checkpoint of a run, and sizes that do not divide, are refused', async () => {
  const faults: [string[], RegExp][] = [
    [['en'], /'en' is neither a checkpoint/],
    [['run', '--small', '3', '--large', '8'], /--large 8 must be a multiple of --small 3/],
    [['run', '--small', '4', '--large', '4'], /--large 4 must be a multiple of --small 4 \(sequences\), and more/],
  ];
  for (const [given, message] of faults) {
    const { status, stderr } = await runCommand(root, ['tune', 'batch', ...given]);
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
  }
});
