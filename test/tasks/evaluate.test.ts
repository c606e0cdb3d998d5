/** Accuracies by hand from known log-likelihoods, the cut between context and continuation, and a real model. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, test } from 'vitest';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { logLikelihoods } from '../../src/eval/log-likelihoods.js';
import { createModel, logits } from '../../src/index.js';
import { U } from '../../src/numerics/bounds.js';
import { evaluateTasks, type Scorer } from '../../src/tasks/evaluate.js';
import { type Encoder, encodeRequest, truncated } from '../../src/tasks/requests.js';
import { readTask } from '../../src/tasks/task.js';
import { temporaryFolder } from '../data/temporary.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { sampleText } from '../support/text.js';

const { folder, write } = temporaryFolder();
const sample = (name: string) => fileURLToPath(new URL(`../fixtures/tasks/${name}`, import.meta.url));

/** A token is a character; 0 ends a document. */
const codePoints = async (text: string) => Array.from(text, character => character.codePointAt(0)!);
const characters: Encoder = { separatorId: 0, startIds: [], encode: codePoints, encodePrompt: codePoints };

/** Log-likelihoods by what is scored. */
const known =
  (values: Readonly<Record<string, number>>): Scorer =>
  async requests =>
    requests.map(({ ids, start }) => values[String.fromCodePoint(...ids.slice(start))] ?? Number.NaN);

describe('accuracies', () => {
  test('by log-likelihood, by characters and by bytes', async () => {
    const tasks = [await readTask('multiple_choice', [sample('own.jsonl')])];
    const score = known({
      ...{ ' aa': -2, ' aaaa': -3 }, // the second is right: by characters and by bytes (-1 < -0.75)
      ...{ ' жж': -3, ' aaa': -4 }, // the first: as it is, and by bytes (-0.75 > -1.33), not by characters (-1.5 < -1.33)
      ...{ ' a': -1, ' b': -1 }, // the first of two alike
      ...{ ' x': -5, ' yy': -1 }, // the first: never
      ...{ ' ab': -2, ' abc': -9 }, // the first: always
      ...{ ' c': -1, ' dddd': -3 }, // the first: as it is
    });
    const [result] = await evaluateTasks(tasks, characters, score, { maxLength: 100 });
    const two = { mean: 4 / 6, stderr: expect.closeTo(Math.sqrt(2 / 9 / 5), 12) };
    expect(result!.accuracies).toEqual({
      acc: two,
      acc_norm: { mean: 3 / 6, stderr: expect.closeTo(Math.sqrt(1 / 4 / 5), 12) },
      acc_bytes: two,
    });
    expect(result!.documents).toBe(6);
    expect(result!.samples[0]).toEqual({
      where: expect.stringContaining("own.jsonl' line 1"),
      answer: 1,
      logLikelihoods: [-2, -3],
    });
  });

  test('of choices in the context there is one, and of one question no error', async () => {
    const tasks = [await readTask('xwinograd_en', [sample('xwinograd_en.jsonl')], 1)];
    const score: Scorer = async requests => requests.map(({ start }) => -start); // the first context is as long
    const [result] = await evaluateTasks(tasks, characters, score, { maxLength: 100 });
    expect(result!.accuracies).toEqual({ acc: { mean: 1, stderr: null }, acc_norm: null, acc_bytes: null });
  });

  test('the same tokens are scored once', async () => {
    const path = sample('own.jsonl');
    const tasks = [await readTask('multiple_choice:a', [path]), await readTask('multiple_choice:b', [path], 2)];
    let scored = 0;
    const score: Scorer = async requests => {
      scored = requests.length;
      return requests.map(({ ids }) => -ids.length);
    };
    const results = await evaluateTasks(tasks, characters, score, { maxLength: 100 });
    expect(scored).toBe(12);
    expect(results.map(({ task, documents }) => [task, documents])).toEqual([
      ['multiple_choice:a', 6],
      ['multiple_choice:b', 2],
    ]);
    expect(results[1]!.samples).toEqual(results[0]!.samples.slice(0, 2));
  });

  test('a long context loses its beginning, a long continuation is refused', async () => {
    const tasks = [await readTask('piqa', [sample('piqa.jsonl')], 1)];
    const lengths: number[] = [];
    const score: Scorer = async requests => {
      for (const { ids, start } of requests) {
        lengths.push(ids.length);
        expect(String.fromCodePoint(...ids.slice(start))).toMatch(/^ Stuff them with (newspaper|butter)\.$/);
      }
      return requests.map(() => -1);
    };
    const [result] = await evaluateTasks(tasks, characters, score, { maxLength: 30 });
    expect(lengths).toEqual([31, 31]);
    expect(result!.truncated).toBe(2);
    await expect(evaluateTasks(tasks, characters, score, { maxLength: 20 })).rejects.toThrow(
      /piqa.jsonl' line 1: a continuation of 27 tokens does not fit 20 positions/,
    );
  });

  test('a log-likelihood that is not a number is no choice', async () => {
    const tasks = [await readTask('piqa', [sample('piqa.jsonl')])];
    await expect(evaluateTasks(tasks, characters, known({}), { maxLength: 100 })).rejects.toThrow(/is not a number/);
  });
});

describe('from text to tokens', () => {
  let tokenizer: TextTokenizer;
  beforeAll(async () => {
    const text = write('text.txt', sampleText(0, 3000));
    tokenizer = await trainTokenizer([text], { vocabSize: 300, field: 'text', out: join(folder, 'tokenizer.json') });
  });

  test('spaces that end the context go to the continuation', async () => {
    const { ids, start } = await encodeRequest(characters, { context: 'ab \n', continuation: ' cd' }, 'row');
    expect(String.fromCodePoint(...ids)).toBe('ab \n cd');
    expect(start).toBe(2);
  });

  test('the whole is tokenized, and cut after as many tokens as the context has', async () => {
    const [context, continuation] = ['kalo mi', 'tu ren'];
    const { ids, start } = await encodeRequest(tokenizer, { context, continuation }, 'row');
    expect(ids).toEqual(await tokenizer.encode(context + continuation));
    expect(start).toBe((await tokenizer.encode(context)).length);
  });

  test('an empty context is the separator, or what the tokenizer puts first', async () => {
    const own = await tokenizer.encode(' kalo');
    const request = { context: '', continuation: ' kalo' };
    expect(await encodeRequest(tokenizer, request, 'row')).toEqual({ ids: [tokenizer.separatorId, ...own], start: 1 });
    const json = JSON.parse(tokenizer.json) as { post_processor: unknown; added_tokens: object[] };
    const begin = { SpecialToken: { id: '<s>', type_id: 0 } };
    const first = { Sequence: { id: 'A', type_id: 0 } };
    json.added_tokens.push({ ...json.added_tokens[0], id: 300, content: '<s>' });
    json.post_processor = {
      type: 'TemplateProcessing',
      single: [begin, first],
      pair: [begin, first, { Sequence: { id: 'B', type_id: 1 } }],
      special_tokens: { '<s>': { id: '<s>', ids: [300], tokens: ['<s>'] } },
    };
    const llama = TextTokenizer.parse(JSON.stringify(json));
    expect(await encodeRequest(llama, request, 'row')).toEqual({ ids: [300, ...own], start: 1 });
    const context = await tokenizer.encode('mi');
    expect(await encodeRequest(llama, { ...request, context: 'mi' }, 'row')).toEqual({
      ids: [300, ...(await tokenizer.encode('mi kalo'))],
      start: 1 + context.length,
    });
  });

  test('a continuation without tokens is refused', async () => {
    await expect(encodeRequest(characters, { context: 'ab', continuation: '' }, "'f' line 3")).rejects.toThrow(
      "'f' line 3: '' has no token of its own",
    );
  });

  test('what fits is not cut', () => {
    const request = { ids: [1, 2, 3, 4], start: 2 };
    expect(truncated(request, 3, 'row')).toBe(request);
    expect(truncated(request, 2, 'row')).toEqual({ ids: [2, 3, 4], start: 1 });
    expect(() => truncated(request, 1, 'row')).toThrow('a continuation of 2 tokens does not fit 1 positions');
  });

  describe('a model', () => {
    const context = useDevice();
    test("log-likelihoods are the sums of the continuation's log-probabilities", async () => {
      const config = smallModel({
        vocabSize: 300,
        hiddenSize: 32,
        intermediateSize: 48,
        numAttentionHeads: 2,
        numKeyValueHeads: 1,
        maxPositionEmbeddings: 256,
      });
      const model = await createModel(context.device, config, { seed: 3 });
      const tasks = [
        await readTask('xnli_fr', [sample('xnli_fr.jsonl')]),
        await readTask('xwinograd_en', [sample('xwinograd_en.jsonl')]),
        await readTask('xcopa_zh', [sample('xcopa_zh.jsonl')]),
      ];
      const score: Scorer = requests => logLikelihoods(model, requests, { batchTokens: 512 });
      const results = await evaluateTasks(tasks, tokenizer, score, { maxLength: 256 });
      for (const [i, { documents }] of tasks.entries()) {
        for (const [row, { requests }] of documents.entries()) {
          for (const [choice, request] of requests.entries()) {
            const before = request.context === '' ? [0] : await tokenizer.encode(request.context);
            const whole = await tokenizer.encode(request.context + request.continuation);
            const ids = request.context === '' ? [0, ...whole] : whole;
            const values = await logits(model, Uint32Array.from(ids), { B: 1, T: ids.length });
            let sum = 0;
            for (let t = before.length; t < ids.length; t++) {
              const row = Float64Array.from(values.subarray((t - 1) * 300, t * 300));
              sum += row[ids[t]!]! - Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0));
            }
            const bound = 200 * U * Math.log(300) * (ids.length - before.length);
            const found = results[i]!.samples[row]!.logLikelihoods[choice]!;
            expect(Math.abs(found - sum), `${results[i]!.task} ${row} ${choice}`).toBeLessThan(bound);
          }
        }
      }
      model.destroy();
    });
  });
});
