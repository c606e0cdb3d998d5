/** Runs from text to checkpoints: determinism, resume, CPT, and what goes wrong. */
import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer, trainTokenizer } from '../../src/data/tokenizer.js';
import { UserError } from '../../src/errors.js';
import { readRun } from '../../src/report/runs.js';
import { listCheckpoints } from '../../src/train/checkpoint.js';
import { parseConfig } from '../../src/train/config.js';
import { GradientPass } from '../../src/train/gradients.js';
import type { TrainObserver } from '../../src/train/loop.js';
import { resumeRun, startRun } from '../../src/train/run.js';
import { useDevice } from '../support/gpu.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const root = mkdtempSync(join(tmpdir(), 'babelgrad-run-'));
const data = (language: string) => join(root, 'data', language);
const run = (name: string) => join(root, 'runs', name);

beforeAll(async () => {
  const files = ['en', 'fr'].map(language => join(root, `${language}.txt`));
  files.forEach((file, i) => {
    writeFileSync(file, sampleText(i, 6000));
  });
  const tokenizer = await trainTokenizer(files, { vocabSize: 300, field: 'text', out: join(root, 'tokenizer.json') });
  for (const [i, language] of ['en', 'fr'].entries()) {
    await tokenizeFiles([files[i]!], { tokenizer, field: 'text', out: data(language), heldOutTokens: 500 });
  }
  expect(TextTokenizer.load(join(root, 'tokenizer.json')).vocabSize).toBe(300);
});
afterAll(() => rmSync(root, { recursive: true }));

const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };
const fields = (name: string, more: Record<string, unknown> = {}) => ({
  out: run(name),
  sources: [{ name: 'en', path: data('en') }],
  heldOut: { en: data('en'), fr: data('fr') },
  ...model,
  tokens: 12 * 128,
  contextLength: 32,
  batchTokens: 128,
  learningRate: 1e-2,
  evalEveryTokens: 4 * 128,
  checkpointEveryTokens: 4 * 128,
  keepCheckpoints: 100,
  seed: 3,
  ...more,
});
const start = (name: string, more: Record<string, unknown> = {}, observer?: TrainObserver, signal?: AbortSignal) =>
  startRun(parseConfig(fields(name, more), 'the test'), { device: context.device, observer, signal });

const bytesOf = (folder: string, file: string) => readFileSync(join(folder, file));
const lastCheckpoint = (name: string) => listCheckpoints(run(name)).at(-1)!.folder;

function expectSameCheckpoint(a: string, b: string): void {
  for (const file of ['model.safetensors', 'optimizer.safetensors', 'config.json', 'tokenizer.json']) {
    expect(bytesOf(a, file).equals(bytesOf(b, file)), file).toBe(true);
  }
}

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
      'config.json',
      'model.safetensors',
      'optimizer.safetensors',
      'tokenizer.json',
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
    expect(steps.at(-1)!.loss / single.steps.at(-1)!.loss).toBeCloseTo(1, 2);
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

  test('of a version that knew no checkpointing, it resumes', async () => {
    cpSync(run('first'), run('old'), { recursive: true });
    rmSync(lastCheckpoint('old'), { recursive: true });
    const path = join(run('old'), 'config.json');
    const { checkpointing, ...rest } = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
    expect(checkpointing).toBe('none');
    writeFileSync(path, JSON.stringify(rest));
    await resumeRun(run('old'), { device: context.device });
    expectSameCheckpoint(lastCheckpoint('old'), lastCheckpoint('first'));
  });

  test('keeps only the latest checkpoints that were asked for', async () => {
    await start('pruned', { keepCheckpoints: 2 });
    expect(listCheckpoints(run('pruned')).map(({ step }) => step)).toEqual([8, 12]);
  });
});

describe('continual pre-training', () => {
  test('starts from the checkpoint, replays the source, and records where it came from', async () => {
    const {
      hiddenSize: _,
      intermediateSize: __,
      numHiddenLayers: ___,
      numAttentionHeads: ____,
      ...rest
    } = fields('cpt', {
      sources: [
        { name: 'fr', path: data('fr'), weight: 0.75 },
        { name: 'en', path: data('en'), weight: 0.25 },
      ],
    });
    await startRun(parseConfig(rest, 'the test'), { device: context.device, from: run('first') });
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

describe('what goes wrong loses nothing', () => {
  const fails = async (promise: Promise<unknown>, message: RegExp) => {
    await expect(promise).rejects.toThrow(message);
    await promise.catch(error => expect(error).toBeInstanceOf(UserError));
  };

  test('a folder that holds a run already', async () => {
    const before = bytesOf(run('first'), 'metrics.jsonl');
    await fails(start('first'), /already holds a run; choose another folder, or continue it with 'babelgrad resume/);
    expect(bytesOf(run('first'), 'metrics.jsonl').equals(before)).toBe(true);
  });

  test('fewer tokens than one batch, in the budget and in the data', async () => {
    await fails(start('bad', { tokens: 10 }), /budget of 10 tokens is less than one batch of 128/);
    await fails(
      start('bad', { batchTokens: 1_024_000, tokens: 1_024_000 }),
      /training tokens, fewer than one batch of 1024000/,
    );
    await fails(
      start('bad', { contextLength: 100_000, batchTokens: 100_000, tokens: 1e6 }),
      /fewer than one (batch|sequence)/,
    );
    expect(existsSync(run('bad'))).toBe(false);
  });

  test('a vocabulary larger than the model', async () => {
    await fails(start('bad', { vocabSize: 299 }), /vocabulary of 300 is larger than the model's of 299/);
  });

  test('sizes that do not fit each other', async () => {
    await fails(start('bad', { batchTokens: 100 }), /batchTokens 100 is not a multiple of contextLength 32/);
    await fails(start('bad', { microBatch: 3 }), /microBatch 3 does not divide the 4 sequences/);
    await fails(start('bad', { numAttentionHeads: 5 }), /numAttentionHeads 5 does not divide hiddenSize 32/);
    await fails(start('bad', { numAttentionHeads: 2, headDim: 7 }), /head size 7 is odd/);
    await fails(start('bad', { preset: 'giant' }), /no model preset 'giant'; there are tiny/);
  });

  test('data that is missing or cut off', async () => {
    await fails(start('bad', { sources: [{ name: 'de', path: data('de') }] }), /'.*de' is no token data set/);
    cpSync(data('en'), data('cut'), { recursive: true });
    truncateSync(join(data('cut'), 'train-00000.bin'), 100);
    await fails(
      start('bad', { sources: [{ name: 'en', path: data('cut') }] }),
      /train-00000.bin' has 100 bytes, index.json says \d+/,
    );
  });

  test.each(['none', 'layer'])(
    'a loss that is not finite, checkpointing %s: stops, names step and tensor, keeps the good checkpoint',
    async checkpointing => {
      const name = `diverged-${checkpointing}`;
      const attempt = start(name, { learningRate: 1e30, warmup: 0, clip: 0, checkpointing });
      await expect(attempt).rejects.toThrow(
        /step \d+: the loss is .* first value that is not finite is .* of '(gradient of )?model\./,
      );
      await attempt.catch(error => expect(error).not.toBeInstanceOf(UserError));
      expect(listCheckpoints(run(name)).map(({ step }) => step)).toEqual([0]);
    },
  );

  test('a loss that is not finite is told even where there is no memory to look for its origin', async () => {
    const create = vi.spyOn(GradientPass, 'create').mockRejectedValue(new Error('out of memory'));
    await expect(start('unlocated', { learningRate: 1e30, warmup: 0, clip: 0 })).rejects.toThrow(
      /step \d+: the loss is .*could not be found.*out of memory.*Training stopped before the update/,
    );
    create.mockRestore();
  });

  test('a checkpoint that is cut off, or does not fit its config.json', async () => {
    const from = join(root, 'broken');
    const attempt = () => {
      const {
        hiddenSize: _,
        intermediateSize: __,
        numHiddenLayers: ___,
        numAttentionHeads: ____,
        ...rest
      } = fields('bad');
      return startRun(parseConfig(rest, 'the test'), { device: context.device, from });
    };
    const reset = () => cpSync(lastCheckpoint('first'), from, { recursive: true, force: true });
    const edit = (change: (config: Record<string, unknown>) => void) => {
      const config = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8')) as Record<string, unknown>;
      change(config);
      writeFileSync(join(from, 'config.json'), JSON.stringify(config));
    };
    await fails(attempt(), /neither a checkpoint \(model.safetensors\) nor a run/);
    reset();
    truncateSync(join(from, 'model.safetensors'), 5000);
    await fails(attempt(), /model.safetensors' is cut off: \d+ bytes of tensors expected, \d+ there/);
    truncateSync(join(from, 'model.safetensors'), 100);
    await fails(attempt(), /cut off within its header/);
    reset();
    edit(config => Object.assign(config, { intermediate_size: 49 }));
    await fails(
      attempt(),
      /'model.layers.0.mlp.gate_proj.weight' has shape \[48, 32\]; config.json makes it \[49, 32\]/,
    );
    reset();
    edit(config => Object.assign(config, { num_hidden_layers: 2 }));
    await fails(attempt(), /has no tensor 'model.layers.1.input_layernorm.weight'/);
    reset();
    edit(config => Object.assign(config, { num_hidden_layers: 0.5 }));
    await fails(attempt(), /config.json': num_hidden_layers/);
    reset();
    edit(config => Object.assign(config, { model_type: 'gpt2' }));
    await fails(attempt(), /config.json': model_type/);
    reset();
    edit(config => Object.assign(config, { tie_word_embeddings: false }));
    await fails(attempt(), /has no tensor 'lm_head.weight'/);
  });
});
