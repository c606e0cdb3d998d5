/** Runs whose mixture changes along them: what is drawn, recorded, told before, and resumed across a switch. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readTrainingState } from '../../src/checkpoint/training-record.js';
import { showPasses, showStages, showStart } from '../../src/cli/show-run.js';
import { UserError } from '../../src/errors.js';
import { readRun } from '../../src/report/runs.js';
import { dryRun } from '../../src/run/dry-run.js';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { data, run, start, continueFrom, configOf, lastCheckpoint } = useSmallRuns(context);

/** Of 48 sequences: en half of the first 24, then a ramp from 1/6 to 0. */
const en = [
  { until: 0.5, weight: 1 },
  { until: 1, weight: 0.2, to: 0 },
];
const mixed = () => ({
  sources: [
    { name: 'fr', path: data('fr'), weight: 1 },
    { name: 'en', path: data('en'), weight: en },
  ],
});

describe('a run with weights in stages', () => {
  test('draws each stage to a sequence, and records mean shares with the stages', async () => {
    await start('staged', mixed());
    const drawnAt = (step: number) =>
      readTrainingState(join(run('staged'), 'checkpoints', `step-0000000${step}`)).mixture.drawn;
    expect(drawnAt(4)).toEqual([8, 8]);
    expect(readTrainingState(lastCheckpoint('staged')).mixture.drawn).toEqual([34, 14]); // 12 and 24·(1/6)/2
    const { sources } = readRunConfig(run('staged'));
    expect(sources.map(({ name, weight, stages }) => ({ name, weight, stages }))).toEqual([
      { name: 'fr', weight: 0.708333333333, stages: [{ until: 1, weight: 1 }] },
      { name: 'en', weight: 0.291666666667, stages: en },
    ]);
    expect(readTrainingState(lastCheckpoint('staged')).sources).toEqual(
      sources.map(({ name, weight, stages }) => ({ name, weight, stages })),
    );
    expect(readRun(run('staged')).config.sources).toMatchObject([{ weight: 0.708333333333 }, { stages: en }]);
  });

  test.each([5, 6, 7])('stopped at step %i, around the switch, and resumed, it ends with the same bits', async at => {
    const name = `staged-${at}`;
    const abort = new AbortController();
    const observer = { onStep: ({ step }: { step: number }) => step === at && abort.abort() };
    // evaluated after every step, it reports every step at once
    const { step } = await start(name, { ...mixed(), evalEveryTokens: 128 }, observer, abort.signal);
    expect(step).toBe(at);
    await resumeRun(run(name), { device: context.device });
    expectSameCheckpoint(lastCheckpoint(name), lastCheckpoint('staged'));
  });

  test('is told before it starts: stages, and the passes over each source', async () => {
    const { run: resolved } = await dryRun(configOf('dry', mixed()));
    expect(showStages(resolved)).toBe(
      'mixture: fr 50%, en 50% until 50% of the tokens; fr 83.3% to 100%, en 16.7% to 0% until 100% of the tokens',
    );
    const [fr, english] = resolved.sources.map(({ trainTokens }) => trainTokens);
    const passes = [(34 * 32) / fr!, (14 * 32) / english!].map(value => Number(value.toPrecision(3)));
    expect(showPasses(resolved)).toBe(`data: ${passes[0]} passes over fr, ${passes[1]} passes over en`);
    const lines = showStart({ ...resolved, probes: 3, keepEvery: 2 }, context.device.adapter);
    expect(lines).toEqual([
      expect.stringMatching(/^dry: .* parameters, .* tokens in 12 steps, on /),
      `${showPasses(resolved)}; ${showStages(resolved)}`,
      expect.stringMatching(/^evaluations: .*; probes: 4, /),
      expect.stringMatching(/^checkpoints: \d+, one every .* steps; kept: the latest \d+, and one in 2$/),
      expect.stringMatching(/^memory: [\d.]+ [KMG]iB of the device; time: /),
    ]);
  });

  test('is not gone on with in the order of its data, and goes on with none', async () => {
    const fails = async (from: string, sources: Record<string, unknown>, message: RegExp) => {
      const error = await continueFrom(run(from), 'bad', { ...sources, dataOrder: 'continue' }).catch(thrown => thrown);
      expect(error).toBeInstanceOf(UserError);
      expect((error as Error).message).toMatch(message);
    };
    await fails('staged', {}, /'.*staged.*' has weights in stages, which are parts of its own budget/);
    await start('constant');
    await fails('constant', mixed(), /and this run has weights in stages/);
  });
});

test('with constant weights config.json has them as they were given', async () => {
  const { run: resolved } = await dryRun(configOf('dry'));
  expect(resolved.sources).toEqual([
    { name: 'en', path: data('en'), weight: 1, trainTokens: resolved.sources[0]!.trainTokens },
  ]);
  expect(showStages(resolved)).toBeUndefined();
});
