/** `generate` as a user meets it: text on stdout as it comes, paces on stderr, one object with --json. */
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createModel, Model, openDevice, saveModel, trainTokenizer } from '../../src/index.js';
import { runCommand } from '../support/command.js';
import { smallModel } from '../support/model.js';
import { sampleText } from '../support/text.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-generate-'));
const generate = (...parameters: string[]) => runCommand(root, ['generate', ...parameters]);
/** Drawn at a high temperature: a model of random weights repeats one token otherwise. */
const common = ['--model', 'model', '--max-tokens', '6', '--temperature', '2', '--seed', '3'];

beforeAll(async () => {
  writeFileSync(join(root, 'text.txt'), sampleText(0, 2000));
  const tokenizer = await trainTokenizer([join(root, 'text.txt')], {
    vocabSize: 280,
    field: 'text',
    out: join(root, 'tokenizer.json'),
  });
  const config = smallModel({
    vocabSize: 280,
    hiddenSize: 16,
    intermediateSize: 24,
    numHiddenLayers: 1,
    numAttentionHeads: 2,
    numKeyValueHeads: 1,
  });
  const device = await openDevice();
  const model = await createModel(device, config, { seed: 1 });
  await saveModel(model, join(root, 'model'), tokenizer.json);
  const large = await Model.create(device, config, ({ shape }) =>
    new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(2e18),
  );
  await saveModel(large, join(root, 'overflows'), tokenizer.json);
  device.close();
});
afterAll(() => rmSync(root, { recursive: true }));

interface Result {
  readonly prompt: string;
  readonly promptTokens: number;
  readonly text: string;
  readonly ids: number[];
  readonly finish: string;
  readonly endId?: number;
}

async function json(...parameters: string[]) {
  const { status, stdout, stderr } = await generate(...common, ...parameters, '--json');
  expect(status, stderr).toBe(0);
  expect(stdout.trim().split('\n'), 'one line on stdout').toHaveLength(1);
  return JSON.parse(stdout) as { results: Result[]; prefill: Record<string, number>; decode: Record<string, number> };
}

test('stdout has prompts with what follows them, in order; stderr has the paces', async () => {
  const { results, prefill, decode } = await json('--prompt', 'ka lo', '--prompt', 'mi');
  expect(results.map(({ prompt }) => prompt)).toEqual(['ka lo', 'mi']);
  for (const { ids, finish } of results) {
    expect(ids).toHaveLength(6);
    expect(finish).toBe('length');
  }
  expect(prefill.tokens).toBe(results.reduce((sum, { promptTokens }) => sum + promptTokens, 0));
  expect(decode.tokens).toBe(10);
  expect(decode.tokensPerSecond).toBeCloseTo(decode.tokens! / decode.seconds!, 6);

  const { status, stdout, stderr } = await generate(...common, '--prompt', 'ka lo', '--prompt', 'mi');
  expect(status).toBe(0);
  expect(stdout).toBe(results.map(({ prompt, text }) => `${prompt}${text}\n`).join('\n'));
  expect(stderr).toMatch(/prefill \d+ tokens at [\d.]+ tokens\/s, decode 10 tokens at [\d.]+ tokens\/s/);
});

test('prompts of a file, a line each, in batches, are those of the command line', async () => {
  const prompts = ['ka', 'lo mi', 'tu ren sa'];
  writeFileSync(join(root, 'prompts.txt'), `${prompts.join('\n')}\n`);
  writeFileSync(join(root, 'prompts.jsonl'), prompts.map(prompt => JSON.stringify({ prompt })).join('\n'));
  const { results } = await json(...prompts.flatMap(prompt => ['--prompt', prompt]));
  expect((await json('--prompts', 'prompts.txt', '--batch', '2')).results).toEqual(results);
  expect((await json('--prompts', 'prompts.jsonl', '--batch', '1')).results).toEqual(results);
});

test('a blank line is an empty prompt, so that results go by line; the end of the last line is none', async () => {
  writeFileSync(join(root, 'blank.txt'), 'ka\r\n\n lo\n\n');
  const { results } = await json('--prompts', 'blank.txt');
  expect(results.map(({ prompt }) => prompt)).toEqual(['ka', '', ' lo', '']);
});

test('an empty prompt begins a new text', async () => {
  const { results } = await json('--prompt', '');
  expect(results[0]).toMatchObject({ prompt: '', promptTokens: 1, finish: 'length' });
});

test('what generation_config.json and config.json name as eos_token_id ends a text, and is not printed', async () => {
  const { results } = await json('--prompt', 'ka lo');
  const { text, ids } = results[0]!;
  const at = ids.indexOf(ids[3]!);
  const folderWith = (name: string, own: unknown, forGeneration?: unknown) => {
    const folder = join(root, name);
    cpSync(join(root, 'model'), folder, { recursive: true });
    rmSync(join(folder, 'SHA256SUMS')); // it is changed on purpose
    const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')) as object;
    writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...config, eos_token_id: own }));
    if (forGeneration === undefined) return;
    writeFileSync(join(folder, 'generation_config.json'), JSON.stringify({ eos_token_id: forGeneration }));
  };
  const never = Array.from({ length: 280 }, (_, id) => id).find(id => !ids.includes(id))!;
  folderWith('instruct', never, [never, ids[3]]);
  folderWith('instruct-own', [never, ids[3]]);
  folderWith('instruct-bad', 0, 280);
  const [ended] = (await json('--model', 'instruct', '--prompt', 'ka lo')).results;
  expect(ended).toMatchObject({ ids: ids.slice(0, at), finish: 'end', endId: ids[3] });
  expect(ended!.text.length).toBeLessThan(text.length);
  const { stdout } = await generate(...common, '--model', 'instruct-own', '--prompt', 'ka lo');
  expect(stdout).toBe(`ka lo${ended!.text}\n`);
  const { status, stderr } = await generate(...common, '--model', 'instruct-bad', '--prompt', 'ka');
  expect(stderr).toMatch(/instruct-bad\/generation_config.json': eos_token_id is 280: 280 is outside the vocabulary/);
  expect(status).toBe(2);
});

test('nothing is on stdout where there is no continuation', async () => {
  const { status, stdout, stderr } = await generate('--model', 'overflows', '--prompt', 'ka');
  expect(stderr).toMatch(/the logit of token 0 is .*: the model is not sound/);
  expect(status).toBe(1);
  expect(stdout).toBe('');
});

describe('refused with status 2 and what to do', () => {
  const refused: [string, string[], RegExp][] = [
    ['nothing to continue', [], /nothing to continue; give --prompt or --prompts/],
    ['no such file', ['--prompts', 'absent.txt'], /there is no .*'absent.txt'/],
    ['an empty file', ['--prompts', 'empty.txt'], /'empty.txt' is empty/],
    [
      'a line without a prompt',
      ['--prompts', 'faulty.jsonl'],
      /'faulty.jsonl' line 2 has no field 'prompt'; its fields: text\n$/,
    ],
    [
      'a prompt that is no text',
      ['--prompts', 'number.jsonl'],
      /'number.jsonl' line 1: field 'prompt' is 3: it must be a text/,
    ],
    ['a context beyond the model', ['--prompt', 'ka', '--context', '65'], /exceeds the model's 64 positions/],
    ['a prompt beyond the context', ['--prompt', 'ka lo mi tu ren sa', '--context', '3'], /leaves no room/],
    [
      'a temperature of -1',
      ['--prompt', 'ka', '--temperature', '-1'],
      /temperature is -1; it must be a number of at least/,
    ],
    ['top-p of 2', ['--prompt', 'ka', '--top-p', '2'], /top-p is 2; it must be above 0 and at most 1/],
    ['top-p without a temperature', ['--prompt', 'ka', '--temperature', '0', '--top-p', '0.9'], /give a temperature/],
    ['top-k of 0', ['--prompt', 'ka', '--top-k', '0'], /whole number of at least 1/],
  ];
  beforeAll(() => {
    writeFileSync(join(root, 'empty.txt'), '');
    writeFileSync(join(root, 'faulty.jsonl'), '{"prompt": "ka"}\n{"text": "lo"}\n');
    writeFileSync(join(root, 'number.jsonl'), '{"prompt": 3}\n');
  });
  test.each(refused)('%s', async (_, parameters, message) => {
    // an adapter that is not there would be refused as soon as a device is opened for the model
    const { status, stdout, stderr } = await generate(...common, ...parameters, '--adapter', 'nothing');
    expect(stderr).toMatch(message);
    expect(status).toBe(2);
    expect(stdout).toBe('');
  });

  test('a model folder that is none', async () => {
    const { status, stderr } = await generate('--model', 'absent', '--prompt', 'ka');
    expect(stderr).toMatch(/'absent' is neither a checkpoint/);
    expect(status).toBe(2);
  });
});
