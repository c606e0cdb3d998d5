/** Probes along runs: they change no bit of a run, and a run is resumed across them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { frequentHeldOutIds, frequentIds } from '../../src/data/frequent-ids.js';
import { TokenDataset } from '../../src/data/shards.js';
import { Prober } from '../../src/eval/probe.js';
import { loadModel } from '../../src/index.js';
import { readRun } from '../../src/report/runs.js';
import { parseConfig } from '../../src/run/config.js';
import { dryRun } from '../../src/run/dry-run.js';
import { resumeRun } from '../../src/run/resume.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { data, run, configOf, start, lastCheckpoint } = useSmallRuns(context);
const EVERY_TWO = { probeEveryTokens: 2 * 128 };

test('a run with probes has the bits of one without, and says what it saw', async () => {
  await start('plain');
  await start('probed', EVERY_TWO);
  expectSameCheckpoint(lastCheckpoint('probed'), lastCheckpoint('plain'));
  expect(readFileSync(join(run('plain'), 'config.json'), 'utf8')).not.toContain('probes');
  expect(readRun(run('plain')).probes).toEqual([]);
  const { probes, evaluations } = readRun(run('probed'));
  expect(probes.map(({ step }) => step)).toEqual([0, 2, 4, 6, 8, 10, 12]);
  expect(probes[1]).toMatchObject({ tokens: 256, flops: 6 * 256 * readRun(run('probed')).config.parameters.total });
  expect(evaluations).toEqual(readRun(run('plain')).evaluations);
  for (const language of ['en', 'fr']) {
    const { copy, induction } = probes.at(-1)!.probes[language]!;
    expect(copy).toMatchObject({ tokens: 63 * 15, chance: 1 / 16 });
    expect(induction.tokens).toBe(63 * 4);
    expect(copy.loss).not.toBe(probes[0]!.probes[language]!.copy.loss);
  }
});

test('stopped between probes and at one, and resumed, it has the same bits and lines', async () => {
  for (const at of [5, 6]) {
    const name = `stopped-${at}`;
    const abort = new AbortController();
    const observer = { onStep: ({ step }: { step: number }) => step === at && abort.abort() };
    const every = { ...EVERY_TWO, evalEveryTokens: 128 }; // so that every step is reported at once
    const { step } = await start(name, every, observer, abort.signal);
    expect(step).toBe(at);
    await resumeRun(run(name), { device: context.device });
    expectSameCheckpoint(lastCheckpoint(name), lastCheckpoint('plain'));
    expect(readRun(run(name)).probes).toEqual(readRun(run('probed')).probes);
  }
});

test('the last probe is that of the last checkpoint, with the most frequent held-out tokens', async () => {
  const model = await loadModel(context.device, lastCheckpoint('probed'));
  const prober = await Prober.create(model, { B: 4, T: 32 });
  const dataset = TokenDataset.open(data('en'));
  const pool = frequentHeldOutIds(dataset);
  dataset.close();
  expect(pool).not.toContain(dataset.index.separatorId);
  expect(await prober.probe(pool)).toEqual(readRun(run('probed')).probes.at(-1)!.probes.en);
  prober.destroy();
  model.destroy();
  expect([...frequentIds(Uint32Array.of(5, 3, 3, 9, 5, 4, 0), new Set([0]), 3)]).toEqual([3, 5, 4]);
});

test('a dry run counts the memory of probes, and a context without room for them is refused', async () => {
  const plain = await dryRun(configOf('dry'));
  const probed = await dryRun(configOf('dry', EVERY_TWO));
  expect(probed.run.probes).toBe(6);
  expect(probed.memory.activations).toBeGreaterThan(plain.memory.activations);
  const short = { ...configOf('dry', EVERY_TWO), contextLength: 4 };
  await expect(dryRun(short)).rejects.toThrow(/probeEveryTokens: 'en' \(.*\): a probe needs a context of 7 tokens/);
  expect(() => parseConfig({ ...configOf('dry'), probeEveryTokens: 0 })).toThrow("field 'probeEveryTokens' is 0");
});
