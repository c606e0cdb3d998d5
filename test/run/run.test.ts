/** Runs from text to checkpoints: determinism, resume, and CPT. */
import { cpSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { readRun } from '../../src/report/runs.js';
import { resumeRun } from '../../src/run/resume.js';
import { useDevice } from '../support/gpu.js';
import { bytesOf, expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { data, run, start, continueFrom, lastCheckpoint } = useSmallRuns(context);

describe('a run', () => {
  test('two runs with one seed end with equal bits, another seed with others', async () => {
    await start('first');
    await start('second');
    await start('other', { seed: 4 });
    expectSameCheckpoint(lastCheckpoint('first'), lastCheckpoint('second'));
    expect(
      bytesOf(lastCheckpoint('first'), 'model.safetensors').equals(
        bytesOf(lastCheckpoint('other'), 'model.safetensors'),
      ),
    ).toBe(false);
  });

  test('holds its resolved configuration, a line for every step, evaluations of both languages, and checkpoints', () => {
    const { config, steps, evaluations } = readRun(run('first'));
    expect(config).toMatchObject({ name: 'first', method: 'scratch', tokens: 1536, contextLength: 32 });
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
    expect(steps[0]!.learningRate).toBeCloseTo(1e-2, 12); // 5% of 12 steps: one of warm-up
    expect(steps.at(-1)!.learningRate).toBeCloseTo(1e-3, 12);
    expect(steps.at(-1)!.flops).toBe(1536 * 6 * Number(config.parameters.total));
    expect(evaluations.map(({ step }) => step)).toEqual([0, 4, 8, 12]);
    expect(evaluations[0]!.heldOut).toMatchObject({ en: { tokens: 499 }, fr: { tokens: 499 } });
    expect(evaluations.at(-1)!.heldOut.en!.loss).toBeLessThan(evaluations[0]!.heldOut.en!.loss - 0.3);
    expect(listCheckpoints(run('first')).map(({ step }) => step)).toEqual([0, 4, 8, 12]);
    expect(readdirSync(lastCheckpoint('first')).sort()).toEqual([
      'SHA256SUMS',
      'config.json',
      'model.safetensors',
      'optimizer.safetensors',
      'tokenizer.json',
      'tokenizer_config.json',
      'training.json',
    ]);
  });

  test.each([1, 5, 11])('stopped at step %i and resumed, it ends with the bits of one that was not', async at => {
    const name = `stopped-${at}`;
    const abort = new AbortController();
    // evaluated after every step, it reports every step at once
    const summary = await start(
      name,
      { evalEveryTokens: 128 },
      { onStep: ({ step }) => step === at && abort.abort() },
      abort.signal,
    );
    expect(summary.status).toBe('interrupted');
    expect(summary.step).toBe(at);
    const resumed = await resumeRun(run(name), { device: context.device });
    expect(resumed.status).toBe('done');
    expectSameCheckpoint(lastCheckpoint(name), lastCheckpoint('first'));
    const losses = (folder: string) => readRun(folder).steps.map(({ step, loss }) => ({ step, loss }));
    expect(losses(run(name))).toEqual(losses(run('first')));
    expect(readRun(run(name)).evaluations.map(({ step }) => step)).toEqual(Array.from({ length: 13 }, (_, i) => i));
  });

  test('killed while it wrote, it resumes from the last whole checkpoint to the same bits', async () => {
    cpSync(run('first'), run('killed'), { recursive: true });
    rmSync(join(run('killed'), 'checkpoints', 'step-00000012'), { recursive: true });
    cpSync(
      join(run('killed'), 'checkpoints', 'step-00000008'),
      join(run('killed'), 'checkpoints', 'step-00000012.1.partial'),
      {
        recursive: true,
      },
    );
    const metrics = join(run('killed'), 'metrics.jsonl');
    truncateSync(metrics, readFileSync(metrics).length - 30);
    expect(readRun(run('killed')).steps.length).toBe(12);
    await resumeRun(run('killed'), { device: context.device });
    expectSameCheckpoint(lastCheckpoint('killed'), lastCheckpoint('first'));
    expect(readRun(run('killed')).evaluations).toEqual(readRun(run('first')).evaluations);
    expect(readdirSync(join(run('killed'), 'checkpoints')).filter(name => name.endsWith('.partial'))).toEqual([]);
  });

  test('with checkpointing it is recorded, stopped and resumed to the same bits as without', async () => {
    const abort = new AbortController();
    const observer = { onStep: ({ step }: { step: number }) => step === 5 && abort.abort() };
    await start('recomputed', { checkpointing: 'layer', evalEveryTokens: 128 }, observer, abort.signal);
    expect(readRun(run('recomputed')).config).toMatchObject({ checkpointing: 'layer' });
    expect(readRun(run('first')).config).toMatchObject({ checkpointing: 'none' });
    await resumeRun(run('recomputed'), { device: context.device });
    expectSameCheckpoint(lastCheckpoint('recomputed'), lastCheckpoint('first'));
  });

  test('in f16 it records the loss scale, and is stopped and resumed to the same bits', async () => {
    if (!context.device.adapter.features.includes('shader-f16')) {
      await expect(start('half', { precision: 'f16' })).rejects.toThrow(/has no f16 \(shader-f16\); use precision f32/);
      return;
    }
    await start('half', { precision: 'f16' });
    const { steps, evaluations } = readRun(run('half'));
    const line = JSON.parse(readFileSync(join(run('half'), 'metrics.jsonl'), 'utf8').split('\n')[1]!);
    expect(line).toMatchObject({ kind: 'step', lossScale: 2 ** 15 });
    const single = readRun(run('first'));
    expect(steps.at(-1)!.loss! / single.steps.at(-1)!.loss!).toBeCloseTo(1, 2);
    expect(evaluations.at(-1)!.heldOut.en!.loss / single.evaluations.at(-1)!.heldOut.en!.loss).toBeCloseTo(1, 2);
    const abort = new AbortController();
    await start(
      'half-stopped',
      { precision: 'f16', evalEveryTokens: 128 },
      { onStep: ({ step }) => step === 5 && abort.abort() },
      abort.signal,
    );
    await resumeRun(run('half-stopped'), { device: context.device });
    expectSameCheckpoint(lastCheckpoint('half-stopped'), lastCheckpoint('half'));
  });

  test('of a version that knew no checkpointing and recorded no evaluation, it resumes', async () => {
    cpSync(run('first'), run('old'), { recursive: true });
    rmSync(lastCheckpoint('old'), { recursive: true });
    const path = join(run('old'), 'config.json');
    const { checkpointing, evaluation, ...rest } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    expect(checkpointing).toBe('none');
    expect(evaluation).toEqual({ tokens: { en: 499, fr: 499 }, batch: 4 });
    writeFileSync(path, JSON.stringify(rest));
    await resumeRun(run('old'), { device: context.device });
    expectSameCheckpoint(lastCheckpoint('old'), lastCheckpoint('first'));
    expect(readRun(run('old')).evaluations).toEqual(readRun(run('first')).evaluations);
  });

  test('keeps only the latest checkpoints that were asked for', async () => {
    await start('pruned', { keepCheckpoints: 2 });
    expect(listCheckpoints(run('pruned')).map(({ step }) => step)).toEqual([8, 12]);
  });
});

describe('where nothing is said of evaluations', () => {
  const byDefault = { evalEveryTokens: undefined, evalTokens: undefined };
  const recordOf = (name: string) =>
    JSON.parse(readFileSync(join(run(name), 'config.json'), 'utf8')) as Record<string, unknown>;

  test('runs from scratch and by CPT are evaluated on the same few tokens at the same steps, resumed ones too', async () => {
    const french = { sources: [{ name: 'fr', path: data('fr') }], ...byDefault };
    const abort = new AbortController();
    await start('looked-at', french, { onStep: ({ step }) => step === 5 && abort.abort() }, abort.signal);
    await resumeRun(run('looked-at'), { device: context.device });
    await start('looked-at-too', french);
    await continueFrom(run('first'), 'looked-at-cpt', french);
    // 0.24 of 1536 tokens, half for each language, are five sequences of 32: one at each of five evaluations
    const evaluation = { tokens: { en: 32, fr: 32 }, batch: 1 };
    for (const name of ['looked-at', 'looked-at-cpt'])
      expect(recordOf(name)).toMatchObject({ evaluations: 4, evalTokens: 32, evaluation });
    const looks = (name: string) => readRun(run(name)).evaluations;
    for (const { heldOut } of [...looks('looked-at'), ...looks('looked-at-cpt')])
      expect(heldOut).toMatchObject({ en: { tokens: 32 }, fr: { tokens: 32 } });
    expect(looks('looked-at').map(({ step }) => step)).toEqual([0, 3, 6, 9, 12]);
    expect(looks('looked-at-cpt').map(({ step }) => step)).toEqual([0, 3, 6, 9, 12]);
    expect(looks('looked-at'), 'the interruption changes nothing').toEqual(looks('looked-at-too'));
  });
});

describe('continual pre-training', () => {
  test('starts from the checkpoint, replays the source, and records where it came from', async () => {
    await continueFrom(run('first'), 'cpt', {
      sources: [
        { name: 'fr', path: data('fr'), weight: 0.75 },
        { name: 'en', path: data('en'), weight: 0.25 },
      ],
    });
    const { config, evaluations } = readRun(run('cpt'));
    expect(config).toMatchObject({ method: 'cpt', source: { name: 'first', tokens: 1536 } });
    const source = readRun(run('first')).evaluations.at(-1)!;
    expect(evaluations[0]!.heldOut, 'before its first step it is the source model').toEqual(source.heldOut);
    expect(evaluations.at(-1)!.heldOut.fr!.loss).toBeLessThan(evaluations[0]!.heldOut.fr!.loss);
    const state = JSON.parse(readFileSync(join(lastCheckpoint('cpt'), 'training.json'), 'utf8')) as {
      mixture: { drawn: number[] };
    };
    expect(state.mixture.drawn).toEqual([36, 12]);
  });
});
