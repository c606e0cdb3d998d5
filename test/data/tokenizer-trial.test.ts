/** Tokenizers that would end the process they are loaded into: each is refused with a message. */
import { describe, expect, test } from 'vitest';
import { isOwnBpe, untrainedBpe } from '../../src/data/bpe-file.js';
import { GPT2_PATTERN } from '../../src/data/patterns.js';
import { TextTokenizer } from '../../src/data/tokenizer.js';
import { parseTokenizerFile } from '../../src/data/tokenizer-file.js';
import { UserError } from '../../src/errors.js';

type Json = Record<string, unknown>;
const own = JSON.parse(untrainedBpe()) as Json & { model: Json; added_tokens: Json[] };

describe('a BPE is refused before anyone loads it', () => {
  const bpe = (model: Json) => JSON.stringify({ ...own, pre_tokenizer: null, model: { ...own.model, ...model } });
  const vocab = { '<|endoftext|>': 0, a: 1, b: 2, '##b': 3, ab: 4 };
  test.each<[string, Json, RegExp]>([
    [
      'merges without its prefix',
      { merges: [['a', 'b']], continuing_subword_prefix: '####' },
      /merge 1, \["a","b"\], does not go on with the continuing_subword_prefix "####"/,
    ],
    ['a merge of an unknown token', { merges: [['a', 'c']] }, /merge 1, .*, needs the token "c", which is not in/],
    ['a merge into one', { merges: [['b', 'a']] }, /needs the token "ba", which is not in the vocabulary/],
    ['a merge of what every object has', { merges: [['constructor', 'a']] }, /needs the token "constructor"/],
    ['a merge of three', { merges: ['a b c'] }, /merge 1, .*, is not of two tokens/],
  ])('with %s', (_, model, message) => {
    expect(() => TextTokenizer.parse(bpe({ vocab, ...model }))).toThrow(message);
    expect(() => TextTokenizer.parse(bpe({ vocab, ...model }))).toThrow(UserError);
  });

  test('and not where prefix and merges agree', () => {
    const fits = bpe({ vocab, merges: [['a', '##b']], continuing_subword_prefix: '##' });
    expect(TextTokenizer.parse(fits).vocabSize).toBe(5);
  });
});

test.each<[string, Json]>([
  ['a character map that is none', { normalizer: { type: 'Precompiled', precompiled_charsmap: 'AAAA' } }],
  ['parts of no characters', { pre_tokenizer: { type: 'FixedLength', length: 0 } }],
  ['nothing put before a text', { normalizer: { type: 'Prepend', prepend: '' } }],
])('what crashes its reader is refused: %s', (_, fields) => {
  const attempt = () => TextTokenizer.parse(JSON.stringify({ ...own, ...fields }));
  expect(attempt).toThrow(/^not a tokenizer.json: its reader crashes \([^\n]+\)$/);
  expect(attempt).toThrow(UserError);
});

test('a file as this program writes it is known by its shape, and nothing else is', () => {
  const isOwn = (json: unknown) => isOwnBpe(parseTokenizerFile(JSON.stringify(json)));
  expect(isOwn(own)).toBe(true);
  expect(isOwn(JSON.parse(untrainedBpe(GPT2_PATTERN)))).toBe(true);
  expect(isOwn({ ...own, normalizer: { type: 'NFC' } })).toBe(false);
  expect(isOwn({ ...own, model: { ...own.model, dropout: 0.5 } })).toBe(false);
  expect(isOwn({ ...own, more: 1 })).toBe(false);
});
