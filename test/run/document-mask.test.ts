/** Runs in which attention stays within documents: one mask for training and evaluation, resumed to the same bits. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { loadModel } from '../../src/checkpoint/model-folder.js';
import { heldOutText } from '../../src/data/scored-text.js';
import { TokenDataset } from '../../src/data/shards.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { TokenLosses, textLoss } from '../../src/index.js';
import { dryRun } from '../../src/run/dry-run.js';
import { evaluationShape } from '../../src/run/evaluations.js';
import { readRunConfig } from '../../src/run/folder.js';
import { resumeRun } from '../../src/run/resume.js';
import { runCommand } from '../support/command.js';
import { useDevice } from '../support/gpu.js';
import { expectSameCheckpoint, useSmallRuns } from '../support/small-runs.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const { root, data, run, start, configOf, lastCheckpoint } = useSmallRuns(context);
/** Sources of short documents, several to a window. */
const fields = () => ({
  sources: [{ name: 'short', path: data('short') }],
  heldOut: { short: data('short') },
  documentMask: true,
  microBatch: 2,
});

beforeAll(async () => {
  const rows = sampleText(0, 6000)
    .match(/.{1,40}/gs)!
    .map(text => JSON.stringify({ text }));
  const file = join(root, 'short.jsonl');
  writeFileSync(file, `${rows.join('\n')}\n`);
  const tokenizer = TextTokenizer.load(join(root, 'tokenizer.json'));
  await tokenizeFiles([file], { tokenizer, out: data('short'), heldOutTokens: 200 });
});

test('a run records the id that ends a document, and is evaluated with the mask', async () => {
  const { heldOut } = await start('masked', fields());
  const plain = await start('plain', { ...fields(), documentMask: false });
  using short = TokenDataset.open(data('short'));
  const resolved = readRunConfig(run('masked'));
  expect(resolved.documentEnd).toBe(short.index.separatorId);
  expect(readRunConfig(run('plain'))).not.toHaveProperty('documentEnd');
  expect(heldOut.short!.loss).not.toBe(plain.heldOut.short!.loss);
  using model = await loadModel(context.device, lastCheckpoint('masked'));
  const lossOf = async (documentEnd: number | undefined) => {
    using losses = await TokenLosses.create(model, evaluationShape(resolved), { documentEnd });
    return (await textLoss(losses, await heldOutText(short))).loss;
  };
  expect(await lossOf(resolved.documentEnd)).toBe(heldOut.short!.loss);
  expect(await lossOf(undefined)).not.toBe(heldOut.short!.loss);

  const command = ['eval', 'loss', '--model', lastCheckpoint('masked'), '--data', `short=${data('short')}`];
  const evaluated = async (...flags: string[]) => {
    const { status, stdout, stderr } = await runCommand(root, [
      ...command,
      '--context-length',
      '32',
      '--json',
      ...flags,
    ]);
    expect(status, stderr).toBe(0);
    return (JSON.parse(stdout) as { losses: { short: { loss: number } } }).losses.short.loss;
  };
  expect(await evaluated('--document-mask')).toBeCloseTo(heldOut.short!.loss, 6);
  expect(Math.abs((await evaluated()) - heldOut.short!.loss)).toBeGreaterThan(1e-5);
});

test('it goes on to the same bits', async () => {
  const abort = new AbortController();
  const observer = { onStep: ({ step }: { step: number }) => step === 5 && abort.abort() };
  await start('stopped', { ...fields(), evalEveryTokens: 128 }, observer, abort.signal);
  await resumeRun(run('stopped'), { device: context.device });
  expectSameCheckpoint(lastCheckpoint('stopped'), lastCheckpoint('masked'));
});

test('a dry run counts its bytes: a word for each token of a micro-batch, of the packed batch and of evaluations', async () => {
  const plain = await dryRun(configOf('dry', { ...fields(), documentMask: false }));
  const masked = await dryRun(configOf('dry', fields()));
  const { B, T } = evaluationShape(masked.run);
  expect(masked.memory.peak - plain.memory.peak).toBe(4 * (2 * 32 + 4 * 32) + 4 * 2 * B * T);
});
