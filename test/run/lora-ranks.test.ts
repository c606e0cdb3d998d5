/** Runs of adapters on several ranks: the adapters of one process, of which the gradients alone are exchanged. */
import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { sizeOf } from '../../src/autograd/tensor.js';
import { adapterGroups } from '../../src/model/lora.js';
import type { RankGroup } from '../../src/parallel/ranks.js';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { type StartOptions, startRun } from '../../src/run/start.js';
import { useDevice } from '../support/gpu.js';
import { ranksOfOneProcess } from '../support/ranks.js';
import { bytesOf, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { run, start, continueFrom, configOf, lastCheckpoint } = useSmallRuns(context);
const STEPS = 4;
const tokens = STEPS * 128;
/** The model is that of the base. */
const ofBase = { hiddenSize: undefined, intermediateSize: undefined, numHiddenLayers: undefined };
const adapters = { tokens, evalEveryTokens: tokens, checkpointEveryTokens: 256, lora: { rank: 4 } };
const config = (name: string) => configOf(name, { ...adapters, ...ofBase, numAttentionHeads: undefined });

/** Runs `body` as so many ranks. @returns the bytes that one of them gave to be summed. */
async function onRanks(count: number, body: (options: StartOptions) => Promise<unknown>): Promise<number> {
  let bytes = 0;
  const counting = (ranks: RankGroup): RankGroup => ({
    ...ranks,
    sum: (values, wire) => {
      if (ranks.isLead) bytes += values.byteLength;
      return ranks.sum(values, wire);
    },
  });
  await Promise.all(ranksOfOneProcess(count).map(ranks => body({ device: context.device, ranks: counting(ranks) })));
  return bytes;
}

const stepsOf = (name: string) =>
  readFileSync(join(run(name), 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line))
    .filter(({ kind }) => kind === 'step')
    .flatMap(({ loss, gradientNorm }): number[] => [loss, gradientNorm]);

/** The largest difference of losses and gradient norms from those of one process, relative. */
function worst(name: string): number {
  const expected = stepsOf('one');
  const found = stepsOf(name);
  expect(found).toHaveLength(2 * STEPS);
  return Math.max(...found.map((value, i) => Math.abs(value - expected[i]!) / expected[i]!));
}

const savedIn = (name: string) =>
  ['adapter_model.safetensors', 'optimizer.safetensors'].map(file => bytesOf(lastCheckpoint(name), file));

test('several ranks train the adapters of one, exchange their gradients alone, and go on on any number', async () => {
  await start('base', { tokens: 256, numHiddenLayers: 2 });
  await continueFrom(run('base'), 'one', adapters);
  const from = run('base');
  const bytes = await onRanks(2, options => startRun(config('two'), { ...options, from }));
  const { model, lora } = readRunConfig(run('two'));
  const groups = adapterGroups(model, lora!);
  const values = 4 * groups.reduce((sum, group) => sum + sizeOf(group.shape), 0);
  // with the loss, and less than 256 bytes of zeros between two of them
  expect(bytes / STEPS).toBeGreaterThanOrEqual(values + 4);
  expect(bytes / STEPS).toBeLessThan(values + 4 + 256 * groups.length);
  // a sum over the 128 tokens of a step in another order is off by (n-1) u = 8e-6 of the magnitudes at most, and four
  // updates carry it on
  expect(worst('two')).toBeLessThan(1e-4);
  const saved = savedIn('two');
  for (const count of [2, 4, 1]) {
    rmSync(lastCheckpoint('two'), { recursive: true });
    await onRanks(count, options => resumeRun(run('two'), options));
    expect(worst('two')).toBeLessThan(1e-4);
    if (count === 2) expect(savedIn('two')).toEqual(saved);
  }
});
