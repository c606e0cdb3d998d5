/** Whole continuations: the same tokens as without the cache and as alone, and every way to end. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { likeliest } from '../../src/generate/sample.js';
import {
  createModel,
  type GenerateSettings,
  generate,
  logits,
  type Model,
  openDevice,
  UserError,
} from '../../src/index.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';

const context = useDevice();
const config = smallModel({
  vocabSize: 26,
  hiddenSize: 32,
  intermediateSize: 40,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 32,
});
let model: Model;
beforeAll(async () => {
  model = await createModel(context.device, config, { seed: 11 });
});
afterAll(() => model.destroy());

const letters = async (ids: readonly number[]) => ids.map(id => String.fromCharCode(97 + id)).join('');
const prompts = [[3], [1, 2, 3, 4, 5], [7, 7], [9, 1, 0], [25, 24, 23, 22, 21, 20, 19]];
const greedy: GenerateSettings = { maxTokens: 12, temperature: 0 };
const drawn: GenerateSettings = { maxTokens: 12, temperature: 3, topK: 20, topP: 0.95, minP: 0.01, seed: 5 };

describe('the same tokens', () => {
  test('greedy, as without the cache', async () => {
    const { results } = await generate(model, prompts, letters, greedy);
    for (const [i, prompt] of prompts.entries()) {
      const ids = [...prompt, ...results[i]!.ids];
      const { vocabSize: V } = config;
      const all = await logits(model, Uint32Array.from(ids), { B: 1, T: ids.length });
      const choices = ids.map((_, t) => likeliest(all.subarray(t * V, (t + 1) * V)));
      expect(results[i]!.ids).toEqual(choices.slice(prompt.length - 1, -1));
      expect(results[i]!.ids).toHaveLength(greedy.maxTokens);
      expect(results[i]).toMatchObject({ finish: 'length', text: await letters(results[i]!.ids) });
    }
  });

  test('whatever is beside a prompt', async () => {
    const texts = async (batch: number) =>
      (await generate(model, prompts, letters, { ...drawn, batch })).results.map(({ text }) => text);
    const alone = await texts(1);
    expect(await texts(2)).toEqual(alone);
    expect(await texts(5)).toEqual(alone);
  });

  test('of one seed; others of another, and of the same prompt again', async () => {
    const text = async (seed: number) => (await generate(model, [[3], [3]], letters, { ...drawn, seed })).results;
    const first = await text(5);
    expect(await text(5)).toEqual(first);
    expect(await text(6)).not.toEqual(first);
    expect(first[0]!.text).not.toBe(first[1]!.text);
  });
});

test('text is told piece by piece, the end once', async () => {
  const texts = prompts.map(() => '');
  const ended: number[] = [];
  const { results, prefill, decode } = await generate(model, prompts, letters, drawn, {
    onText(prompt, text) {
      expect(ended).not.toContain(prompt);
      texts[prompt] += text;
    },
    onFinish: prompt => void ended.push(prompt),
  });
  expect(texts).toEqual(results.map(({ text }) => text));
  expect(ended.sort()).toEqual([0, 1, 2, 3, 4]);
  expect(prefill.tokens).toBe(18);
  expect(decode.tokens).toBe(results.reduce((sum, { ids }) => sum + ids.length - 1, 0));
});

describe('ends', () => {
  test('with any of the tokens that end a text, which is not part of it', async () => {
    const { results } = await generate(model, [[3]], letters, drawn);
    const { text, ids } = results[0]!;
    const never = Array.from({ length: config.vocabSize }, (_, id) => id).find(id => !ids.includes(id))!;
    const first = Math.min(...[4, 7].map(i => ids.indexOf(ids[i]!)));
    for (const endIds of [[ids[first]!], [never, ids[7]!, ids[4]!]]) {
      const [ended] = (await generate(model, [[3]], letters, { ...drawn, endIds })).results;
      const endId = ids[first];
      expect(ended).toEqual({ text: text.slice(0, first), ids: ids.slice(0, first), finish: 'end', endId });
    }
    expect((await generate(model, [[3]], letters, { ...drawn, endIds: [never] })).results).toEqual(results);
  });

  test('with a stop string of several tokens', async () => {
    const { results } = await generate(model, [[3]], letters, drawn);
    const { text, ids } = results[0]!;
    const stop = text.slice(5, 8);
    const at = text.indexOf(stop);
    const [stopped] = (await generate(model, [[3]], letters, { ...drawn, stop: ['#', stop] })).results;
    expect(stopped).toEqual({ text: text.slice(0, at), ids: ids.slice(0, at + 3), finish: 'stop' });
  });

  test('where the context is full, each sequence by itself', async () => {
    const { results } = await generate(model, prompts, letters, { ...greedy, maxTokens: 100, context: 16 });
    for (const [i, { ids, finish }] of results.entries()) {
      expect(ids.length).toBe(16 - prompts[i]!.length);
      expect(finish).toBe('context');
    }
    const whole = await generate(model, [[3]], letters, { ...greedy, maxTokens: 100 });
    expect(whole.results[0]).toMatchObject({ finish: 'context', ids: { length: 31 } });
  });
});

describe('refused', () => {
  const refused: [string, number[][], Partial<GenerateSettings>, RegExp][] = [
    ['a prompt that fills the context', [[1], [1, 2, 3, 4]], { context: 4 }, /prompt 2 has 4 tokens.*up to 32/],
    [
      'a prompt beyond the model',
      [Array(40).fill(1)],
      {},
      /prompt 1 has 40 tokens and leaves no room in a context of 32/,
    ],
    ['a context beyond the model', [[1]], { context: 33 }, /exceeds the model's 32 positions/],
    ['an empty prompt', [[]], {}, /prompt 1 is empty/],
    ['a token that is not in the vocabulary', [[26]], {}, /token id 26 is outside the model's vocabulary of 26/],
    [
      'an end that is not in the vocabulary',
      [[1]],
      { endIds: [3, 26] },
      /token id 26 is outside the model's vocabulary/,
    ],
    ['an empty stop string', [[1]], { stop: [''] }, /a stop string is empty/],
    ['no tokens', [[1]], { maxTokens: 0 }, /max-tokens is 0/],
    ['settings of sampling', [[1]], { temperature: -2 }, /temperature is -2/],
  ];
  test.each(refused)('%s', async (_, given, settings, message) => {
    const attempt = generate(model, given, letters, { ...greedy, ...settings });
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toThrow(UserError);
  });

  test('a cache that the adapter cannot bind', async () => {
    const device = await openDevice({ limits: { maxStorageBufferBindingSize: 16_384 } });
    const small = await createModel(device, config, { seed: 11 });
    const many = Array.from({ length: 16 }, () => [1]);
    const attempt = generate(small, many, letters, { ...greedy, maxTokens: 31, batch: 16 });
    await expect(attempt).rejects.toThrow(
      /keys of 16 sequence\(s\) of 32 positions are 32768 bytes.*smaller context or batch/,
    );
    await expect(attempt).rejects.toThrow(UserError);
    const { results } = await generate(small, many, letters, { ...greedy, maxTokens: 31, batch: 8 });
    expect(results).toHaveLength(16);
    device.close();
  });
});

test('nothing is left on the device', async () => {
  await generate(model, prompts, letters, { ...greedy, maxTokens: 12 });
  const before = context.device.memory.bytes;
  await generate(model, prompts, letters, { ...greedy, maxTokens: 12 });
  expect(context.device.memory.bytes).toBe(before);
});
