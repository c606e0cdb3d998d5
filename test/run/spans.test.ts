/** Runs on data of which only spans are trained: what they train, and that they go on to the same bits. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { listCheckpoints } from '../../src/checkpoint/find.js';
import { loadModel } from '../../src/checkpoint/model-folder.js';
import { Mixture } from '../../src/data/mixture.js';
import { TokenDataset } from '../../src/data/shards.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { lossAndGradients } from '../../src/index.js';
import { dryRun } from '../../src/run/dry-run.js';
import { readRunConfig } from '../../src/run/folder.js';
import type { StepLine } from '../../src/run/metrics.js';
import { resumeRun } from '../../src/run/resume.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const { root, data, run, start, configOf, lastCheckpoint } = useSmallRuns(context);
const sources = () => [
  { name: 'answers', path: data('answers'), weight: 3 },
  { name: 'en', path: data('en'), weight: 1 },
];
const heldOut = () => ({ en: data('en') });

beforeAll(async () => {
  const lines = sampleText(0, 6000).match(/.{1,60}/gs)!;
  const rows = lines.map(text => JSON.stringify({ text, train: [[Math.ceil(text.length / 2), text.length]] }));
  const file = join(root, 'answers.jsonl');
  writeFileSync(file, `${rows.join('\n')}\n`);
  const tokenizer = TextTokenizer.load(join(root, 'tokenizer.json'));
  await tokenizeFiles([file], { tokenizer, out: data('answers'), spansField: 'train', heldOutTokens: 100 });
});

test('a step trains the spans of a batch, and all of a source without', async () => {
  const steps: StepLine[] = [];
  const fields = { sources: sources(), heldOut: heldOut(), microBatch: 2 };
  await start('spans', fields, { onStep: line => steps.push(line) });
  expect(readRunConfig(run('spans')).weighted).toBe(true);
  using answers = TokenDataset.open(data('answers'));
  using en = TokenDataset.open(data('en'));
  const mixture = new Mixture(
    [
      { name: 'answers', weight: 3, tokens: answers },
      { name: 'en', weight: 1, tokens: en },
    ],
    { seed: 3, contextLength: 32 },
  );
  const { sequences, weights } = mixture.nextBatch(4);
  expect(weights).toContain(0);
  using model = await loadModel(context.device, listCheckpoints(run('spans'))[0]!.folder);
  const { loss } = await lossAndGradients(model, sequences, { B: 4, T: 32 }, weights);
  expect(steps[0]!.loss).toBeCloseTo(loss, 4);
});

test('it goes on to the same bits', async () => {
  const abort = new AbortController();
  const fields = { sources: sources(), heldOut: heldOut(), microBatch: 2 };
  const observer = { onStep: ({ step }: { step: number }) => step === 5 && abort.abort() };
  await start('stopped', { ...fields, evalEveryTokens: 128 }, observer, abort.signal);
  await resumeRun(run('stopped'), { device: context.device });
  expectSameCheckpoint(lastCheckpoint('stopped'), lastCheckpoint('spans'));
});

test('a dry run counts its bytes: a weight for each token of a micro-batch, and in the packed batch', async () => {
  const plain = await dryRun(configOf('dry', { microBatch: 2, heldOut: heldOut() }));
  const weighted = await dryRun(configOf('dry', { microBatch: 2, sources: sources(), heldOut: heldOut() }));
  expect(plain.run).not.toHaveProperty('weighted');
  expect(weighted.memory.peak - plain.memory.peak).toBe(4 * (2 * 32 + 4 * 32));
});
