/** `eval tasks` and `eval forgetting` as a user meets them. */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createModel, openDevice, saveModel, trainTokenizer } from '../../src/index.js';
import type { TaskResult } from '../../src/tasks/evaluate.js';
import { runCommand } from '../support/command.js';
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
    const config = {
      vocabSize: 280,
      hiddenSize: 32,
      intermediateSize: 48,
      numHiddenLayers: 1,
      numAttentionHeads: 2,
      numKeyValueHeads: 2,
      headDim: 16,
      rmsNormEps: 1e-5,
      ropeTheta: 10000,
      tieWordEmbeddings: true,
      maxPositionEmbeddings: 64,
    };
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
