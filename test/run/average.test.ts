/** Runs that keep an average of their weights: saved, resumed, evaluated, reported, and used as a model of its own. */
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { averageFolder, listCheckpoints } from '../../src/checkpoint/find.js';
import { loadModel } from '../../src/checkpoint/model-folder.js';
import { heldOutText } from '../../src/data/scored-text.js';
import { TokenDataset } from '../../src/data/shards.js';
import { UserError } from '../../src/errors.js';
import { textLoss } from '../../src/eval/text-loss.js';
import { TokenLosses } from '../../src/eval/token-losses.js';
import { reportPage } from '../../src/report/page.js';
import { readRun } from '../../src/report/runs.js';
import { dryRun } from '../../src/run/dry-run.js';
import { readRunConfig } from '../../src/run/folder.js';
import type { EvaluationLine } from '../../src/run/metrics.js';
import { resumeRun } from '../../src/run/resume.js';
import { verifyPath } from '../../src/run/verify.js';
import { useDevice } from '../support/gpu.js';
import { bytesOf, expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { data, run, start, continueFrom, configOf, lastCheckpoint } = useSmallRuns(context);
const more = { emaDecay: 0.8 };
const averageAt = (name: string, step: number) =>
  averageFolder(listCheckpoints(run(name)).find(found => found.step === step)!.folder);
const linesOf = (name: string) =>
  readFileSync(join(run(name), 'metrics.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map(line => JSON.parse(line) as EvaluationLine);

/** Stops a run at a step, resumes it, and expects it to end as one that went through. */
async function expectResumes(name: string, at: number, fields: Record<string, unknown>) {
  const stopped = `${name}-${at}`;
  const abort = new AbortController();
  const observer = { onStep: ({ step }: { step: number }) => step === at && abort.abort() };
  // evaluated after every step, it reports every step at once
  const { step } = await start(stopped, { ...fields, evalEveryTokens: 128 }, observer, abort.signal);
  expect(step).toBe(at);
  await resumeRun(run(stopped), { device: context.device });
  expectSameCheckpoint(lastCheckpoint(stopped), lastCheckpoint(name));
  const [a, b] = [stopped, name].map(each => bytesOf(averageAt(each, 12), 'model.safetensors'));
  expect(a!.equals(b!)).toBe(true);
}

describe('a run with an average of its weights', () => {
  test('saves it with each checkpoint, and has the weights of a run without', async () => {
    await start('averaged', more);
    await start('plain');
    expect(readRunConfig(run('averaged')).emaDecay).toBe(0.8);
    expect(readRunConfig(run('plain'))).not.toHaveProperty('emaDecay');
    expectSameCheckpoint(lastCheckpoint('averaged'), lastCheckpoint('plain'));
    expect(readdirSync(averageAt('averaged', 12)).sort()).toEqual([
      'SHA256SUMS',
      'config.json',
      'model.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
      'training.json',
    ]);
    const [first, ...others] = [0, 4, 8, 12].map(step => bytesOf(averageAt('averaged', step), 'model.safetensors'));
    expect(first!.equals(bytesOf(listCheckpoints(run('averaged'))[0]!.folder, 'model.safetensors'))).toBe(true);
    expect(others.every((bytes, i) => !bytes.equals([first!, ...others][i]!))).toBe(true);
  });

  test('evaluates both, as the models that it saves evaluate', async () => {
    const last = linesOf('averaged').at(-1)!;
    expect(last.heldOutAverage!.en!.loss).not.toBe(last.heldOut.en!.loss);
    for (const [folder, told] of [
      [lastCheckpoint('averaged'), last.heldOut],
      [averageAt('averaged', 12), last.heldOutAverage!],
    ] as const) {
      const model = await loadModel(context.device, folder);
      const dataset = TokenDataset.open(data('en'));
      const losses = await TokenLosses.create(model, { B: 1, T: 32 });
      const { loss } = await textLoss(losses, await heldOutText(dataset));
      expect(told.en!.loss).toBeCloseTo(loss, 5);
      dataset.close();
      losses.destroy();
      model.destroy();
    }
    expect(linesOf('plain').at(-1)).not.toHaveProperty('heldOutAverage');
  });

  test('is told in the report beside the weights', () => {
    const page = reportPage([readRun(run('averaged'))], 'a report');
    expect(page).toContain('averaged, average');
    expect(page).toContain(linesOf('averaged').at(-1)!.heldOutAverage!.en!.loss.toFixed(4));
    expect(reportPage([readRun(run('plain'))], 'a report')).not.toContain(', average');
  });

  test.each([3, 8])('stopped at step %i and resumed, it ends with the same bits of both', at =>
    expectResumes('averaged', at, more),
  );

  test('in f16, stopped and resumed, it does too', async () => {
    if (!context.device.adapter.features.includes('shader-f16')) return;
    const halves = { ...more, precision: 'f16' };
    await start('halves', halves);
    await expectResumes('halves', 5, halves);
  });

  test('the average is a model to go on with, though without moments', async () => {
    const from = averageAt('averaged', 12);
    await continueFrom(from, 'continued', { ...more, freezeBodyTokens: 4 * 128 });
    expect(readRunConfig(run('continued')).source).toMatchObject({ checkpoint: from, tokens: 12 * 128 });
    const keep = continueFrom(from, 'bad', { optimizerState: 'keep' });
    await expect(keep).rejects.toThrow(/'.*average' has no optimizer.safetensors/);
    await expect(keep).rejects.toBeInstanceOf(UserError);
  });

  test('is verified with its checkpoint, and not gone on with where it is damaged or gone', async () => {
    const checks = [];
    for await (const check of verifyPath(run('averaged'))) checks.push(check);
    expect(checks.filter(({ kind }) => kind === 'model').map(({ folder }) => folder)).toEqual(
      [0, 4, 8, 12].map(step => averageAt('averaged', step)),
    );
    expect(checks.flatMap(({ faults }) => faults)).toEqual([]);
    const average = averageAt('averaged', 12);
    const bytes = bytesOf(average, 'model.safetensors');
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(join(average, 'model.safetensors'), bytes);
    await expect(resumeRun(run('averaged'), { device: context.device })).rejects.toThrow(
      /average.model.safetensors' is damaged.*step-00000008' is whole/,
    );
    rmSync(average, { recursive: true });
    const resumed = resumeRun(run('averaged'), { device: context.device });
    await expect(resumed).rejects.toThrow(/average/);
    await expect(resumed).rejects.toBeInstanceOf(UserError);
  });

  test('is refused with diloco, whose ranks have weights of their own', async () => {
    await expect(dryRun(configOf('bad', { ...more, parallel: 'diloco' }))).rejects.toThrow(
      /emaDecay averages the weights of every step, and with parallel diloco each rank has its own/,
    );
  });
});
