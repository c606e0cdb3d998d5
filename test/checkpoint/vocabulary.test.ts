import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { readModelConfig } from '../../src/checkpoint/hf-config.js';
import { loadModel, writeModel } from '../../src/checkpoint/model-folder.js';
import { SafetensorsFile } from '../../src/checkpoint/safetensors.js';
import { extendVocabulary, type RowInit } from '../../src/checkpoint/vocabulary.js';
import { continueBpe } from '../../src/data/bpe-continue.js';
import { newTokens } from '../../src/data/token-pieces.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { UserError } from '../../src/errors.js';
import { writeFolderWhole } from '../../src/files.js';
import type { ModelConfig } from '../../src/model/config.js';
import { initialWeights } from '../../src/model/init.js';
import { Model } from '../../src/model/model.js';
import { parameterSpecs } from '../../src/model/parameters.js';
import { temporaryFolder } from '../data/temporary.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { sampleText } from '../support/text.js';

const context = useDevice();
const { folder, write } = temporaryFolder();
const [spare, columns] = [3, 8];
const EMBEDDING = 'model.embed_tokens.weight';
const HEAD = 'lm_head.weight';
const source = join(folder, 'source');
/** What goes along, and what spells the old vocabulary out. */
const kept = ['tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja', 'generation_config.json'];
const left = ['vocab.json', 'merges.txt', 'added_tokens.json', 'tokenizer.model'];
let config: ModelConfig;
let old: TextTokenizer;
let extended: TextTokenizer;

beforeAll(async () => {
  const texts = [0, 1].map(language => write(`${language}.txt`, `${sampleText(language, 4000)} naïve 灯台 灯台 灯台`));
  old = await trainTokenizer([texts[0]!], { vocabSize: 300, field: 'text', out: join(folder, 'tokenizer.json') });
  extended = await continueBpe(old, [texts[1]!], { add: 40, field: 'text' });
  config = smallModel({
    vocabSize: old.vocabSize + spare,
    hiddenSize: columns,
    intermediateSize: 16,
    numHiddenLayers: 1,
    numAttentionHeads: 2,
    headDim: 4,
    tieWordEmbeddings: false,
  });
  const model = await Model.create(context.device, config, initialWeights(config, 1));
  await writeFolderWhole(source, target => writeModel(model, target, old.json));
  const json = JSON.parse(readFileSync(join(source, 'config.json'), 'utf8')) as object;
  writeFileSync(
    join(source, 'config.json'),
    JSON.stringify({ ...json, eos_token_id: 0, torch_dtype: 'bfloat16', dtype: 'bfloat16' }),
  );
  for (const name of [...kept, ...left]) writeFileSync(join(source, name), `{"of": "the source's ${name}"}`);
  writeFileSync(join(source, 'training.json'), '{"kept": "as it is"}');
  model.destroy();
});

const tensorsOf = (path: string): Map<string, Float32Array> => {
  const file = SafetensorsFile.open(join(path, 'model.safetensors'));
  const tensors = new Map(file.names.map(name => [name, file.read(name, file.shape(name))]));
  file.close();
  return tensors;
};
const extend = async (name: string, init: RowInit, seed = 0) => {
  const out = join(folder, name);
  return { out, ...(await extendVocabulary(source, out, extended, { init, seed })), tensors: tensorsOf(out) };
};
const rowOf = (table: Float32Array, id: number) => [...table.subarray(id * columns, (id + 1) * columns)];

describe('an extended model', () => {
  test('is a whole model folder that loads, with everything else as it was', async () => {
    const { out, tensors, vocabSize } = await extend('mean', 'mean');
    expect(vocabSize).toEqual({ before: 303, after: 340 });
    expect(readModelConfig(out)).toEqual({ ...config, vocabSize: 340 });
    const json = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as Record<string, unknown>;
    expect([json.eos_token_id, json.torch_dtype, json.dtype]).toEqual([0, 'float32', undefined]);
    for (const name of kept) expect(readFileSync(join(out, name), 'utf8')).toBe(`{"of": "the source's ${name}"}`);
    expect(left.filter(name => existsSync(join(out, name)))).toEqual([]);
    expect(TextTokenizer.load(join(out, 'tokenizer.json')).vocabSize).toBe(340);
    const record: unknown = JSON.parse(readFileSync(join(out, 'training.json'), 'utf8'));
    expect(record).toEqual({ kept: 'as it is', firstNewToken: old.vocabSize });
    expect(existsSync(join(out, 'optimizer.safetensors'))).toBe(false);
    const before = tensorsOf(source);
    for (const { name } of parameterSpecs(config)) {
      const count = [EMBEDDING, HEAD].includes(name) ? old.vocabSize * columns : before.get(name)!.length;
      expect(tensors.get(name)!.subarray(0, count), name).toEqual(before.get(name)!.subarray(0, count));
    }
    const model = await loadModel(context.device, out);
    expect(await model.read(HEAD)).toEqual(tensors.get(HEAD));
    model.destroy();
  });

  test('has the mean of the pieces, or the first piece, as rows of embedding and head', async () => {
    const before = tensorsOf(source);
    const [mean, copy] = [await extend('mean2', 'mean'), await extend('copy', 'copy')];
    const tokens = await newTokens(old, extended);
    expect(tokens).toHaveLength(40);
    for (const name of [EMBEDDING, HEAD]) {
      const rows = before.get(name)!;
      for (const { id, pieces } of tokens) {
        const expected = Array.from({ length: columns }, (_, column) =>
          Math.fround(pieces.reduce((sum, piece) => sum + rowOf(rows, piece)[column]!, 0) / pieces.length),
        );
        expect(rowOf(mean.tensors.get(name)!, id)).toEqual(expected);
        expect(rowOf(copy.tensors.get(name)!, id)).toEqual(rowOf(rows, pieces[0]!));
      }
    }
  });

  test('has random rows of a seed, with the mean and deviation of the old ones', async () => {
    const [one, again, other] = [
      await extend('random', 'random', 1),
      await extend('random1', 'random', 1),
      await extend('random2', 'random', 2),
    ];
    const added = (tensors: Map<string, Float32Array>) => tensors.get(EMBEDDING)!.subarray(old.vocabSize * columns);
    expect(added(again.tensors)).toEqual(added(one.tensors));
    expect(added(other.tensors)).not.toEqual(added(one.tensors));
    expect(added(one.tensors)).not.toEqual(one.tensors.get(HEAD)!.subarray(old.vocabSize * columns));
    const values = [...added(one.tensors)];
    const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
    const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
    // 320 normal values of deviation 0.02: five standard errors of their mean and deviation
    expect(Math.abs(mean)).toBeLessThan((5 * 0.02) / Math.sqrt(320));
    expect(Math.abs(deviation - 0.02)).toBeLessThan((5 * 0.02) / Math.sqrt(640));
  });

  test('whose tokenizer had a special token without a row has the mean of all rows for it', async () => {
    const json = JSON.parse(old.json) as { added_tokens: object[] };
    for (let id = old.vocabSize; id <= config.vocabSize; id++) {
      json.added_tokens.push({ ...json.added_tokens[0], id, content: `<special ${id}>` });
    }
    const from = join(folder, 'pictures');
    cpSync(source, from, { recursive: true });
    writeFileSync(join(from, 'tokenizer.json'), JSON.stringify(json));
    const withImage = TextTokenizer.load(join(from, 'tokenizer.json'));
    const longer = await continueBpe(withImage, [join(folder, '1.txt')], { add: 5, field: 'text' });
    const { vocabSize } = await extendVocabulary(from, join(folder, 'with pictures'), longer);
    expect(vocabSize).toEqual({ before: 303, after: 309 });
    const [before, after] = [source, join(folder, 'with pictures')].map(path => tensorsOf(path).get(EMBEDDING)!);
    expect(after!.subarray(0, 303 * columns)).toEqual(before);
    const mean = Array.from({ length: columns }, (_, column) => {
      let sum = 0;
      for (let id = 0; id < 303; id++) sum += rowOf(before!, id)[column]!;
      return Math.fround(sum / 303);
    });
    expect(rowOf(after!, 303)).toEqual(mean);
    const pieces = (await newTokens(withImage, longer))[0]!.pieces;
    expect(rowOf(after!, 304)[0]).toBe(
      Math.fround(pieces.reduce((sum, piece) => sum + rowOf(before!, piece)[0]!, 0) / pieces.length),
    );
  });

  test('what cannot be extended', async () => {
    const refused = async (from: string, to: string, tokenizer: TextTokenizer) => {
      const error = await extendVocabulary(from, join(folder, to), tokenizer).catch((thrown: unknown) => thrown);
      expect(error).toBeInstanceOf(UserError);
      return (error as Error).message;
    };
    expect(await refused(source, 'mean', extended)).toMatch(/exists already; choose another folder/);
    expect(await refused(source, 'none', old)).toMatch(/no more tokens than the model's: nothing to add/);
    const text = write('small.txt', sampleText(2, 4000));
    const options = { vocabSize: 290, field: 'text', out: join(folder, 'small.json') };
    expect(await refused(source, 'none', await trainTokenizer([text], options))).toMatch(/does not extend the model's/);
    cpSync(source, join(folder, 'misfit'), { recursive: true });
    writeFileSync(join(folder, 'misfit', 'tokenizer.json'), extended.json);
    expect(await refused(join(folder, 'misfit'), 'none', extended)).toMatch(/303 rows for the 340 tokens/);
    expect(existsSync(join(folder, 'none'))).toBe(false);
  });
});
