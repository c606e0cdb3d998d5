/** `eval tasks` and `eval forgetting` as a user meets them. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createModel, openDevice, saveModel, trainTokenizer } from '../../src/index.js';
import type { TaskResult } from '../../src/tasks/evaluate.js';
import { runCommand } from '../support/command.js';
import { smallModel } from '../support/model.js';
import { writeRun } from '../support/runs.js';
import { sampleText } from '../support/text.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-eval-'));
afterAll(() => rmSync(root, { recursive: true }));
const babelgrad = (...parameters: string[]) => runCommand(root, parameters);
const sample = (name: string) => fileURLToPath(new URL(`../fixtures/tasks/${name}`, import.meta.url));

describe('eval tasks', () => {
  beforeAll(async () => {
    writeFileSync(join(root, 'text.txt'), sampleText(0, 3000));
    const out = join(root, 'tokenizer.json');
    const tokenizer = await trainTokenizer([join(root, 'text.txt')], { vocabSize: 280, field: 'text', out });
    const config = smallModel({
      vocabSize: 280,
      hiddenSize: 32,
      intermediateSize: 48,
      numHiddenLayers: 1,
      numAttentionHeads: 2,
    });
    const device = await openDevice();
    const model = await createModel(device, config, { seed: 1 });
    await saveModel(model, join(root, 'model'), tokenizer.json);
    device.close();
  });
  const tasks = (...parameters: string[]) => babelgrad('eval', 'tasks', '--model', 'model', ...parameters);

  test('a table, JSON, and a file with every log-likelihood', async () => {
    const given = [`hellaswag=${sample('hellaswag.jsonl')}`, `xcopa_zh=${sample('xcopa_zh.jsonl')}`];
    const { status, stdout, stderr } = await tasks('--task', ...given, '--out', 'results/tasks.json', '--json');
    expect(status, stderr).toBe(0);
    expect(stderr).toMatch(/hellaswag/);
    expect(stderr).toMatch(/hellaswag: \d choices lost the beginning of their context/);
    const printed = JSON.parse(stdout) as { tasks: object[] };
    const written = JSON.parse(readFileSync(join(root, 'results/tasks.json'), 'utf8')) as { tasks: TaskResult[] };
    expect(written).toMatchObject(printed);
    expect(written.tasks.map(({ task, documents }) => [task, documents])).toEqual([
      ['hellaswag', 2],
      ['xcopa_zh', 2],
    ]);
    expect(written.tasks[0]!.samples.map(({ logLikelihoods }) => logLikelihoods.length)).toEqual([4, 2]);
    for (const value of written.tasks.flatMap(({ samples }) => samples.flatMap(each => each.logLikelihoods))) {
      expect(value).toBeLessThan(0);
    }
  });

  test('--limit takes the first', async () => {
    const { stdout } = await tasks('--task', `xcopa_zh=${sample('xcopa_zh.jsonl')}`, '--limit', '1', '--json');
    expect(JSON.parse(stdout)).toMatchObject({
      limit: 1,
      tasks: [{ documents: 1, accuracies: { acc: { stderr: null } } }],
    });
  });

  const bad: [string, string, string, RegExp][] = [
    ['an unknown task', 'xnli_xx', '{}\n', /there is no task 'xnli_xx'/],
    ['a missing field', 'piqa', '{"goal":"g"}\n', /'bad.jsonl' line 1 has no field 'sol1'/],
    [
      'an answer out of range',
      'multiple_choice',
      '{"context":"c","choices":["a","b"],"answer":2}\n',
      /'bad.jsonl' line 1: field 'answer' is 2/,
    ],
    ['an empty file', 'piqa', '', /'bad.jsonl' is empty/],
    [
      'a choice too long for the model',
      'multiple_choice',
      `{"context":"c","choices":["a","${'long '.repeat(99)}"],"answer":0}\n`,
      /'bad.jsonl' line 1: a continuation of \d+ tokens does not fit 64 positions/,
    ],
  ];
  test.each(bad)('%s ends with status 2 and writes nothing', async (_, task, text, message) => {
    writeFileSync(join(root, 'bad.jsonl'), text);
    const { status, stdout, stderr } = await tasks('--task', `${task}=bad.jsonl`, '--out', 'none.json');
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(stdout).toBe('');
    expect(existsSync(join(root, 'none.json'))).toBe(false);
  });

  test('a task without a file', async () => {
    const { status, stderr } = await tasks('--task', 'piqa');
    expect(stderr).toMatch(/--task 'piqa' must be name=path/);
    expect(status).toBe(2);
  });
});

describe('eval forgetting', () => {
  const checkpoint = 'english/checkpoints/step-00000002';
  beforeAll(() => {
    const english = { sources: { en: 1 }, heldOut: { en: [7, 5, 4] } };
    const none = { checkpoint, sources: { fr: 1 }, heldOut: { en: [4, 5.5, 5], fr: [6, 4, 3] } };
    const tenth = { checkpoint, sources: { fr: 9, en: 1 }, heldOut: { en: [4, 4.5, 4.25], fr: [6, 4.5, 3.25] } };
    const foreign = { ...none, checkpoint: 'model' };
    for (const [name, run] of Object.entries({ english, none, tenth, foreign })) writeRun(root, { name, ...run });
  });
  const forgetting = (...parameters: string[]) => babelgrad('eval', 'forgetting', ...parameters);

  test('a table of runs, one of replay, and JSON', async () => {
    const { status, stdout } = await forgetting('none', 'tenth');
    expect(status).toBe(0);
    expect(stdout).toMatch(
      /none .* 0% .* en 4\.0000 → 5\.0000 .* \+1\.0000 .* \+1\.5000 at 1k .* fr 6\.0000 → 3\.0000/,
    );
    expect(stdout).toMatch(/tenth .* 10% .* 3\.2500 .* \+0\.2500 .* 250 .* 4\.2500 .* \+0\.7500/);
    const json = await forgetting('none', 'tenth', '--json', '--out', 'forgetting.json');
    const result = JSON.parse(json.stdout) as object;
    expect(result).toMatchObject({
      runs: [
        { run: 'none', source: 'en', target: 'fr', replay: 0, backwardTransfer: 1 },
        { run: 'tenth', replay: 0.1, backwardTransfer: 0.25 },
      ],
      replay: [{ tokens: 2000, effects: [{ run: 'none' }, { run: 'tenth', priceTokens: 250, gain: 0.75 }] }],
    });
    expect(JSON.parse(readFileSync(join(root, 'forgetting.json'), 'utf8'))).toEqual(result);
  });

  test('a source model that is no run needs its language', async () => {
    const { status, stderr } = await forgetting('foreign', '--out', 'nothing.json');
    expect(stderr).toMatch(/the run of its source model 'model' is not to be found; name its language with --source-l/);
    expect(status).toBe(2);
    expect(existsSync(join(root, 'nothing.json'))).toBe(false);
    expect(await forgetting('foreign', '--source-language', 'en')).toMatchObject({ status: 0 });
  });

  test('a run from scratch has nothing to forget', async () => {
    expect(await forgetting('english')).toMatchObject({ status: 2, stderr: expect.stringContaining('from scratch') });
  });
});
