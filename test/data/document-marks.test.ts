/** What ends and begins the documents of a tokenizer, from its own file and from those beside it. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { untrainedBpe } from '../../src/data/bpe-file.js';
import { readDocumentMarks } from '../../src/data/document-marks.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { UserError } from '../../src/errors.js';
import { temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();

interface File {
  added_tokens: object[];
  model: { vocab: Record<string, number> };
  post_processor: unknown;
}

/** A tokenizer whose special tokens are these, from id 0 on, with the files beside it. */
function tokenizerWith(
  tokens: readonly string[],
  { begin, ...files }: { readonly begin?: string; readonly [file: string]: unknown } = {},
): string {
  const file = JSON.parse(untrainedBpe()) as File;
  const [own] = file.added_tokens;
  file.model.vocab = {};
  file.added_tokens = tokens.map((content, id) => ({ ...own, id, content }));
  const text = { Sequence: { id: 'A', type_id: 0 } };
  const single = [{ SpecialToken: { id: begin, type_id: 0 } }, text];
  if (begin !== undefined) {
    const special_tokens = { [begin]: { id: begin, ids: [tokens.indexOf(begin)], tokens: [begin] } };
    const pair = [...single, { Sequence: { id: 'B', type_id: 1 } }];
    file.post_processor = { type: 'TemplateProcessing', single, pair, special_tokens };
  }
  const name = `tokenizer-${count++}`;
  mkdirSync(join(folder, name));
  for (const [other, value] of Object.entries(files)) {
    write(`${name}/${other}.json`, typeof value === 'string' ? value : JSON.stringify(value));
  }
  return write(`${name}/tokenizer.json`, JSON.stringify(file));
}
let count = 0;

const LLAMA3 = ['<|begin_of_text|>', '<|end_of_text|>', '<|eom_id|>', '<|eot_id|>'];

test.each([
  ['a token of a usual name', tokenizerWith(['<pad>', '</s>']), 1],
  ['config.json, of a list the first', tokenizerWith(LLAMA3, { config: { eos_token_id: [3, 1] } }), 3],
  ['generation_config.json', tokenizerWith(LLAMA3, { generation_config: { eos_token_id: 2 } }), 2],
  [
    'config.json before it',
    tokenizerWith(LLAMA3, { config: { eos_token_id: 1 }, generation_config: { eos_token_id: 2 } }),
    1,
  ],
  ['tokenizer_config.json', tokenizerWith(LLAMA3, { tokenizer_config: { eos_token: '<|eot_id|>' } }), 3],
  ['a token with fields', tokenizerWith(LLAMA3, { tokenizer_config: { eos_token: { content: '<|eom_id|>' } } }), 2],
  ['none of them that is no token here', tokenizerWith(LLAMA3, { config: { eos_token_id: 4711 } }), 1],
  ['a name that says as much', tokenizerWith(['<pad>', '<｜end▁of▁sentence｜>']), 1],
  ['what begins documents, where nothing else does', tokenizerWith(['<pad>', '<|bos|>']), 1],
])('what ends a document: %s', (_, path, separatorId) => {
  expect(TextTokenizer.load(path)).toMatchObject({ separatorId, startIds: [] });
  expect(readDocumentMarks(path)).toEqual({ separatorId, startIds: [] });
});

test('what ends a document can be named', () => {
  const path = tokenizerWith(LLAMA3, { config: { eos_token_id: 1 } });
  expect(TextTokenizer.load(path, { separator: '<|eot_id|>' }).separatorId).toBe(3);
  expect(() => TextTokenizer.load(path, { separator: '</s>' })).toThrow(UserError);
  expect(() => TextTokenizer.load(path, { separator: '</s>' })).toThrow(/has no token '<\/s>' to end documents with/);
  expect(() => TextTokenizer.load(tokenizerWith(['<pad>']))).toThrow(/none of the tokens that end .*--separator/);
});

test.each([
  ['the template', { begin: LLAMA3[0]! }, [0]],
  ['no template', {}, []],
  ['add_bos_token, with its token', { tokenizer_config: { add_bos_token: true, bos_token: LLAMA3[2] } }, [2]],
  ['add_bos_token, with its id', { tokenizer_config: { add_bos_token: true }, config: { bos_token_id: 0 } }, [0]],
  ['add_bos_token against the template', { begin: LLAMA3[0]!, tokenizer_config: { add_bos_token: false } }, []],
])('what begins a document: %s', async (_, files, startIds) => {
  const tokenizer = TextTokenizer.load(tokenizerWith(LLAMA3, files));
  expect(tokenizer.startIds).toEqual(startIds);
  expect(await tokenizer.encodePrompt('')).toEqual(startIds.length > 0 ? startIds : [1]);
});

test('what begins a document can be asked for, or refused', () => {
  const path = tokenizerWith(LLAMA3, { begin: LLAMA3[0]! });
  expect(TextTokenizer.load(path, { bos: false }).startIds).toEqual([]);
  expect(TextTokenizer.load(tokenizerWith(LLAMA3), { bos: true }).startIds).toEqual([0]);
  expect(() => TextTokenizer.load(tokenizerWith(['</s>']), { bos: true })).toThrow(/no token that begins a document/);
});

test.each(['config', 'generation_config', 'tokenizer_config'])('a damaged %s.json is named', name => {
  expect(() => TextTokenizer.load(tokenizerWith(LLAMA3, { [name]: '{' }))).toThrow(
    new RegExp(`${name}.json' is not JSON`),
  );
  const wrong = name === 'tokenizer_config' ? { eos_token: 7 } : { eos_token_id: 'x' };
  expect(() => TextTokenizer.load(tokenizerWith(LLAMA3, { [name]: wrong }))).toThrow(
    new RegExp(`${name}.json': .*eos_token`),
  );
});
