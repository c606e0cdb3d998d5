/** The card of a model: what a run has recorded, in the layout of the Hub, and never over one that is there. */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { exportModel } from '../../src/checkpoint/export.js';
import { exportPeft } from '../../src/checkpoint/export-peft.js';
import { averageFolder } from '../../src/checkpoint/find.js';
import { modelCard } from '../../src/run/card.js';
import { useDevice } from '../support/gpu.js';
import { useSmallRuns } from '../support/small-runs.js';

const context = useDevice();
const { root, data, run, start, continueFrom, lastCheckpoint } = useSmallRuns(context);
const mixed = () => [
  { name: 'fr', path: data('fr'), weight: 3 },
  { name: 'en', path: data('en'), weight: 1 },
];
const cardOf = (folder: string): string => modelCard(folder)!;
const frontOf = (card: string): unknown => parse(/^---\n(.*?)\n---\n/s.exec(card)![1]!);

test('of a CPT run: languages, base model, tokens of each source, recipe and losses', async () => {
  await start('english', { tokens: 2 * 128 });
  const { heldOut } = await continueFrom(lastCheckpoint('english'), 'french', {
    tokens: 4 * 128,
    sources: mixed(),
    emaDecay: 0.9,
  });
  const card = cardOf(lastCheckpoint('french'));
  expect(frontOf(card)).toEqual({
    language: ['fr', 'en'],
    license: 'other',
    library_name: 'transformers',
    pipeline_tag: 'text-generation',
    base_model: 'english',
    tags: ['babelgrad', 'continual-pretraining'],
    model_name: 'french',
  });
  expect(card).toContain('continued from `english` (continual pre-training), after 4 steps on 512 tokens.');
  expect(card).toMatch(/^\| fr \| 75% \| 384 \| 0\.\d+ \|$/m);
  expect(card).toMatch(/^\| en \| 25% \| 128 \| /m);
  expect(card).toMatch(/^\| batch \| 128 tokens, in sequences of 32 \|$/m);
  expect(card).toContain(` | ${heldOut.fr!.loss.toFixed(4)} | ${heldOut.fr!.bitsPerByte.toFixed(4)} |`);
  expect(cardOf(averageFolder(lastCheckpoint('french')))).toContain('The running average of the weights of a language');
});

test('of adapters alone: PEFT is their library, and the model that they stand beside their base', async () => {
  const fields = { tokens: 2 * 128, sources: mixed(), lora: { rank: 2 }, documentMask: true };
  await continueFrom(lastCheckpoint('english'), 'adapters', fields);
  const from = lastCheckpoint('adapters');
  const card = modelCard(from, 'peft')!;
  const front = { library_name: 'peft', base_model: 'english', tags: ['babelgrad', 'lora', 'continual-pretraining'] };
  expect(frontOf(card)).toMatchObject(front);
  expect(card).toContain('LoRA adapters of a language model');
  expect(card).toMatch(/^\| batch \| 128 tokens, in sequences of 32, attention within documents \|$/m);
  expect(frontOf(cardOf(from))).toMatchObject({ library_name: 'transformers', base_model: 'english' });
  const out = join(root, 'peft');
  await exportPeft(from, out, { type: 'F32', card });
  expect(frontOf(readFileSync(join(out, 'README.md'), 'utf8'))).toMatchObject(front);
  expect(frontOf(modelCard(out, 'peft')!)).toMatchObject({ base_model: 'english', tags: ['babelgrad', 'lora'] });
});

test('without its run it has what the record says, and a model that was not trained here has none', async () => {
  const out = join(root, 'exported');
  await exportModel(lastCheckpoint('french'), out, { type: 'F32', card: cardOf(lastCheckpoint('french')) });
  expect(readFileSync(join(out, 'README.md'), 'utf8')).toBe(cardOf(lastCheckpoint('french')));
  const card = cardOf(out);
  expect(frontOf(card)).toMatchObject({ language: ['fr', 'en'], tags: ['babelgrad'], model_name: 'french' });
  expect(card).not.toContain('## Recipe');
  writeFileSync(join(out, 'README.md'), 'my own words\n');
  const again = join(root, 'again');
  await exportModel(out, again, { type: 'F16', card, verify: false });
  expect(readFileSync(join(again, 'README.md'), 'utf8')).toBe('my own words\n');
  rmSync(join(again, 'training.json'));
  expect(modelCard(again)).toBeUndefined();
  expect(existsSync(join(run('english'), 'README.md'))).toBe(false);
});
