/** Runs in f16 on several ranks: moments in host memory, adapters, and gradients in f16. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { resumeRun } from '../../src/run/resume.js';
import { type StartOptions, startRun } from '../../src/run/start.js';
import { useDevice } from '../support/gpu.js';
import { ranksOfOneProcess } from '../support/ranks.js';
import { bytesOf, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { run, start, continueFrom, configOf, lastCheckpoint } = useSmallRuns(context);
const hasHalves = () => context.device.adapter.features.includes('shader-f16');
const STEPS = 4;
const tokens = STEPS * 128;
const halves = { precision: 'f16', tokens, evalEveryTokens: tokens, checkpointEveryTokens: tokens / 2 };
/** The model is that of the base. */
const ofBase = {
  hiddenSize: undefined,
  intermediateSize: undefined,
  numHiddenLayers: undefined,
  numAttentionHeads: undefined,
};

const onRanks = (count: number, body: (options: StartOptions) => Promise<unknown>) =>
  Promise.all(ranksOfOneProcess(count).map(ranks => body({ device: context.device, ranks })));

interface StepLine {
  readonly kind: string;
  readonly loss: number;
  readonly gradientNorm: number;
  readonly skipped?: string;
}
const stepsOf = (name: string): StepLine[] =>
  readFileSync(join(run(name), 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as StepLine)
    .filter(({ kind }) => kind === 'step');

/** The largest differences of losses and gradient norms from those of another run, relative. */
function apart(name: string, other: string) {
  const [found, expected] = [stepsOf(name), stepsOf(other)];
  expect(found).toHaveLength(STEPS);
  expect(found.map(({ skipped }) => skipped)).toEqual(expected.map(({ skipped }) => skipped));
  const most = (field: 'loss' | 'gradientNorm') =>
    Math.max(...found.map((step, i) => Math.abs(step[field] / expected[i]![field] - 1)));
  return { loss: most('loss'), gradientNorm: most('gradientNorm') };
}

const savedIn = (name: string, files: readonly string[]) => files.map(file => bytesOf(lastCheckpoint(name), file));

/**
 * Runs `name` on two ranks and goes on from its middle on two and on one. On two it has the same bits in `files`, and
 * on either the steps of `one`, which was alone.
 * @returns what was saved on two ranks.
 */
async function expectOnRanks(
  name: string,
  one: string,
  gradientStorage: string,
  files: readonly string[],
  begin: (options: StartOptions) => Promise<unknown>,
) {
  // A sum over the 128 tokens of a step in another order is off by (n-1) u = 8e-6 of the magnitudes at most, and four
  // updates carry it on. Gradients in f16 are rounded by each rank, and again when they are summed, by 2^-11 each, and
  // so are their updates, which change the loss by less than the loss.
  const [loss, gradientNorm] = gradientStorage === 'f16' ? [2 ** -10, 2 ** -9] : [1e-5, 1e-4];
  const expectClose = () => {
    const found = apart(name, one);
    expect(found.loss).toBeLessThan(loss);
    expect(found.gradientNorm).toBeLessThan(gradientNorm);
  };
  await onRanks(2, begin);
  expectClose();
  const saved = savedIn(name, files);
  for (const count of [2, 1]) {
    rmSync(lastCheckpoint(name), { recursive: true });
    await onRanks(count, options => resumeRun(run(name), options));
    expectClose();
    if (count === 2) expect(savedIn(name, files)).toEqual(saved);
  }
  return saved;
}

test.each([
  ['f32', 'f32'],
  ['f16', '8bit'],
])('moments in host memory: with gradients in %s, moments in %s', async (gradientStorage, momentType) => {
  if (!hasHalves()) return;
  const more = { ...halves, gradientStorage, momentType };
  const files = ['model.safetensors', 'optimizer.safetensors'];
  const named = (name: string) => `${name}-${gradientStorage}`;
  const ranks = (name: string, offload: string) => (options: StartOptions) =>
    startRun(configOf(named(name), { ...more, offload }), options);
  await start(named('one'), more);
  await onRanks(2, ranks('plain', 'none'));
  const saved = await expectOnRanks(
    named('offloaded'),
    named('one'),
    gradientStorage,
    files,
    ranks('offloaded', 'moments'),
  );
  expect(saved).toEqual(savedIn(named('plain'), files));
});

test.each(['f32', 'f16'])('adapters: with gradients in %s', async gradientStorage => {
  if (!hasHalves()) return;
  if (!existsSync(run('base'))) await start('base', { tokens: 128, numHiddenLayers: 2, precision: 'f16' });
  const more = { ...halves, gradientStorage, lora: { rank: 4 } };
  const files = ['adapter_model.safetensors', 'optimizer.safetensors'];
  const named = (name: string) => `adapters-${name}-${gradientStorage}`;
  const from = run('base');
  await continueFrom(from, named('one'), more);
  await expectOnRanks(named('two'), named('one'), gradientStorage, files, options =>
    startRun(configOf(named('two'), { ...more, ...ofBase }), { ...options, from }),
  );
});
