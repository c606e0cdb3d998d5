/** Runs of a few steps of a small model, on made-up text in two languages. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import type { Device } from '../../src/gpu/device.js';
import { parseConfig } from '../../src/run/config.js';
import type { TrainObserver } from '../../src/run/context.js';
import { type StartOptions, startRun } from '../../src/run/start.js';
import { sampleText } from './text.js';

const model = { hiddenSize: 32, intermediateSize: 48, numHiddenLayers: 1, numAttentionHeads: 2 };

export const bytesOf = (folder: string, file: string) => readFileSync(join(folder, file));

export function expectSameCheckpoint(a: string, b: string): void {
  for (const file of ['model.safetensors', 'optimizer.safetensors', 'config.json', 'tokenizer.json']) {
    expect(bytesOf(a, file).equals(bytesOf(b, file)), file).toBe(true);
  }
}

/** Runs on the device of a test file, in a folder that goes when the file's tests are done. */
export function useSmallRuns(context: { readonly device: Device }) {
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

  /** A run's configuration but for the sizes of its model. */
  const fields = (name: string, more: Record<string, unknown> = {}) => ({
    out: run(name),
    sources: [{ name: 'en', path: data('en') }],
    heldOut: { en: data('en'), fr: data('fr') },
    tokens: 12 * 128,
    contextLength: 32,
    batchTokens: 128,
    learningRate: 1e-2,
    evalEveryTokens: 4 * 128,
    evalTokens: 500,
    checkpointEveryTokens: 4 * 128,
    keepCheckpoints: 100,
    seed: 3,
    ...more,
  });
  const start = (name: string, more: Record<string, unknown> = {}, observer?: TrainObserver, signal?: AbortSignal) =>
    startRun(parseConfig(fields(name, { ...model, ...more }), 'the test'), {
      device: context.device,
      observer,
      signal,
    });
  const configOf = (name: string, more: Record<string, unknown> = {}) =>
    parseConfig(fields(name, { ...model, ...more }), 'the test');
  /** Starts a run on a device that it opens itself. */
  const startAlone = (
    name: string,
    more: Record<string, unknown> = {},
    observer?: TrainObserver,
    options: StartOptions = {},
  ) => startRun(configOf(name, more), { observer, ...options });
  const continueFrom = (from: string, name: string, more: Record<string, unknown> = {}) =>
    startRun(parseConfig(fields(name, more), 'the test'), { device: context.device, from });
  const lastCheckpoint = (name: string) => listCheckpoints(run(name)).at(-1)!.folder;
  return { root, data, run, configOf, start, startAlone, continueFrom, lastCheckpoint };
}
