/** Runs that keep the checkpoint with the lowest loss of a language, and end where there is no lower one. */
import { existsSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findModelFolder, listCheckpoints } from '../../src/checkpoint/find.js';
import { readTrainingState } from '../../src/checkpoint/training-record.js';
import { Best } from '../../src/run/best.js';
import type { EvaluationLine } from '../../src/run/metrics.js';
import { resumeRun } from '../../src/run/resume.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { run, start, lastCheckpoint } = useSmallRuns(context);
const heldOut = (loss: number): EvaluationLine['heldOut'] => ({ fr: { loss, tokens: 1, bitsPerByte: 1, bytes: 1 } });
/** A rate that makes the loss of English rise again within the run. */
const rising = { learningRate: 0.3, schedule: 'constant', evalEveryTokens: 128, keepCheckpoints: 1, keepBest: 'en' };

describe('the best evaluation', () => {
  test('is the first of the lowest loss, and is long ago after so many others', () => {
    const best = new Best({ keepBest: 'fr', stopAfter: 2 }, undefined);
    const taken = [5, 4, 4, 3, 3.5].map((loss, step) => [best.take(step, heldOut(loss)), best.isLongAgo]);
    expect(taken).toEqual([
      [true, false],
      [true, false],
      [false, false],
      [true, false],
      [false, false],
    ]); // prettier-ignore
    expect(best.found).toEqual({ language: 'fr', step: 3, loss: 3, since: 1 });
    const resumed = new Best({ keepBest: 'fr', stopAfter: 2 }, best.found);
    expect([resumed.take(5, heldOut(3)), resumed.isLongAgo]).toEqual([false, true]);
  });

  test('is not looked for where no language is named, and ends nothing without stopAfter', () => {
    expect(new Best({}, undefined).take(0, heldOut(1))).toBe(false);
    const best = new Best({ keepBest: 'fr' }, undefined);
    for (let step = 0; step < 50; step++) best.take(step, heldOut(1 + step));
    expect(best.isLongAgo).toBe(false);
  });
});

describe('a run with keepBest', () => {
  test('keeps the checkpoint of its lowest loss beside the latest, names it, and trains the same', async () => {
    const lines: EvaluationLine[] = [];
    const summary = await start('best', rising, { onEvaluation: line => lines.push(line) });
    const lowest = lines.reduce((best, line) => (line.heldOut.en!.loss < best.heldOut.en!.loss ? line : best));
    expect(lowest.step, 'the loss rises again').toBeLessThan(12);
    expect(summary.best).toMatchObject({ language: 'en', step: lowest.step, loss: lowest.heldOut.en!.loss });
    expect(listCheckpoints(run('best')).map(({ step }) => step)).toEqual([lowest.step, 12]);
    expect(findModelFolder(join(run('best'), 'best'))).toBe(summary.best!.checkpoint);
    expect(readTrainingState(summary.best!.checkpoint)).toMatchObject({ step: lowest.step, best: { since: 0 } });
    await start('plain', { ...rising, keepBest: undefined });
    expectSameCheckpoint(lastCheckpoint('best'), lastCheckpoint('plain'));
    expect(() => findModelFolder(join(run('plain'), 'best'))).toThrow(/keeps no best checkpoint; a run with keepBest/);
  });

  test('goes on with it', async () => {
    const abort = new AbortController();
    const observer = { onStep: ({ step }: { step: number }) => step === 7 && abort.abort() };
    await start('stopped', rising, observer, abort.signal);
    const { best } = await resumeRun(run('stopped'), { device: context.device });
    const whole = readTrainingState(lastCheckpoint('best')).best!;
    expect(readTrainingState(lastCheckpoint('stopped')).best).toEqual(whole);
    expect(best!.step).toBe(whole.step);
    expect(listCheckpoints(run('stopped')).map(({ step }) => step)).toEqual([whole.step, 12]);
  });

  test('from an earlier checkpoint it looks for another one where the best is gone', async () => {
    await start('earlier', { ...rising, keepCheckpoints: 100, checkpointEveryTokens: 128 });
    const folderAt = (step: number) => listCheckpoints(run('earlier')).find(found => found.step === step)!.folder;
    const path = join(folderAt(10), 'training.json');
    const before = { language: 'en', step: 9, loss: 0.1, since: 1 };
    writeFileSync(path, JSON.stringify({ ...readTrainingState(folderAt(10)), best: before }));
    const options = { device: context.device, checkpoint: basename(folderAt(10)), verify: false };
    const kept = await resumeRun(run('earlier'), options);
    expect(kept.best).toMatchObject({ step: 9, loss: 0.1 });
    rmSync(folderAt(9), { recursive: true });
    const { best } = await resumeRun(run('earlier'), options);
    expect(best!.step).toBeGreaterThan(10);
    expect(existsSync(best!.checkpoint)).toBe(true);
  });

  test('ends after evaluations without a lower loss, saved, and stays ended', async () => {
    const summary = await start('ended', { ...rising, stopAfter: 2 });
    expect(summary).toMatchObject({ status: 'stopped', step: summary.best!.step + 2 });
    expect(listCheckpoints(run('ended')).map(({ step }) => step)).toEqual([summary.best!.step, summary.step]);
    const again = await resumeRun(run('ended'), { device: context.device });
    expect(again).toMatchObject({ status: 'stopped', step: summary.step });
  });

  test('refuses a language that is not evaluated, and stopAfter alone', async () => {
    await expect(start('none', { keepBest: 'de' })).rejects.toThrow(/keepBest is 'de', and the run evaluates en, fr/);
    await expect(start('none', { stopAfter: 2 })).rejects.toThrow(/stopAfter counts evaluations since the lowest/);
    expect(existsSync(run('none'))).toBe(false);
  });
});
