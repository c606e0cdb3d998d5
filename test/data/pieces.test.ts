import { expect, test } from 'vitest';
import { safeCuts } from '../../src/data/cuts.js';
import { WORD_PATTERN } from '../../src/data/patterns.js';
import { type Piece, PieceCutter } from '../../src/data/pieces.js';
import { parseTokenizerFile } from '../../src/data/tokenizer-file.js';

/** A tokenizer.json of a few entries, and of further fields. */
function file(fields: Record<string, unknown> = {}, model: Record<string, unknown> = {}) {
  const bpe = { type: 'BPE', vocab: { a: 0, b: 1, ab: 2 }, merges: [['a', 'b']], ...model };
  return parseTokenizerFile(JSON.stringify({ added_tokens: [], model: bpe, ...fields }));
}
const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false });
const bytes = { type: 'ByteLevel', add_prefix_space: false, use_regex: false };
const byteLevel = (pattern: string) => ({
  pre_tokenizer: { type: 'Sequence', pretokenizers: [split(pattern), bytes] },
});
const blanks = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
const special = { id: 9, content: '<s>', special: true };

test('pieces hold the text whole, are not long, and say where documents begin and end', () => {
  const text = 'Some words, and a line end.\n'.repeat(4000);
  const cutter = new PieceCutter(safeCuts(file(byteLevel(WORD_PATTERN)), true));
  const pieces: Piece[] = [];
  for (const part of [text.slice(0, 70_001), text.slice(70_001)]) {
    pieces.push(...cutter.add({ text: part, endOfDocument: false }));
  }
  pieces.push(...cutter.add({ text: '', endOfDocument: true }), ...cutter.add({ text: 'x', endOfDocument: true }));
  expect(pieces.map(piece => piece.text).join('')).toBe(`${text}x`);
  expect(Math.max(...pieces.map(piece => piece.text.length))).toBeLessThanOrEqual(2 ** 13);
  expect(pieces.filter(piece => piece.beginsDocument)).toHaveLength(2);
  expect(pieces.slice(-2).map(({ beginsDocument, endOfDocument }) => [beginsDocument, endOfDocument])).toEqual([
    [false, true],
    [true, true],
  ]);
});

test('a document without a safe place stays whole', () => {
  const text = '冬天来得早'.repeat(20_000);
  const cutter = new PieceCutter(safeCuts(file(byteLevel(WORD_PATTERN)), true));
  const pieces = [...cutter.add({ text, endOfDocument: false }), ...cutter.add({ text, endOfDocument: true })];
  expect(pieces).toEqual([{ text: text + text, beginsDocument: true, endOfDocument: true }]);
});

test('merges over the whole text are cut where none joins the characters', () => {
  const isSafe = safeCuts(file({ normalizer: blanks }), true)!;
  expect(isSafe('xaby', 2)).toBe(false); // a merge joins a and b
  expect(isSafe('xabay', 3)).toBe(true);
  expect(isSafe('xa by', 2)).toBe(true);
  expect(isSafe('xa😀', 3)).toBe(false); // within a character
  const joinsBlank = { vocab: { a: 0, '▁': 1, 'a▁': 2 }, merges: [['a', '▁']] };
  expect(safeCuts(file({ normalizer: blanks }, joinsBlank), true)!('xa by', 2)).toBe(false);
});

test('no added token is cut, special ones as text neither', () => {
  for (const asText of [true, false]) {
    const isSafe = safeCuts(file({ normalizer: blanks, added_tokens: [special] }), asText)!;
    expect(isSafe('x<s>', 2)).toBe(false);
    expect(isSafe('x<s>', 3)).toBe(false);
    expect(isSafe('xx<s>', 2)).toBe(true);
    expect(isSafe('<s>x', 3)).toBe(true);
  }
});

test.each([
  ['another pattern', file(byteLevel('\\p{L}+'))],
  ['another normalizer', file({ ...byteLevel(WORD_PATTERN), normalizer: { type: 'NFKC' } })],
  ['a pattern that splits off only digits', file(byteLevel('\\p{N}{1,3}'))],
  ['a blank before every word', file({ pre_tokenizer: { ...bytes, use_regex: true, add_prefix_space: true } })],
  ['another pre-tokenizer', file({ pre_tokenizer: { type: 'WhitespaceSplit' } })],
  ['another model', file({}, { type: 'Unigram', vocab: [['a', -1]], merges: undefined })],
  ['dropout', file({ normalizer: blanks }, { dropout: 0.1 })],
  ['whole texts that are entries', file({ normalizer: blanks }, { ignore_merges: true })],
  ['unknown characters that become one', file({ normalizer: blanks }, { unk_token: 'a', fuse_unk: true })],
  [
    'a token that takes blanks',
    file({ normalizer: blanks, added_tokens: [{ ...special, special: false, lstrip: true }] }),
  ],
  [
    'a blank before a text, and so behind every added token',
    file({
      normalizer: { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, blanks] },
      added_tokens: [{ ...special, special: false }],
    }),
  ],
])('nothing is cut: %s', (_, tokenizer) => {
  expect(safeCuts(tokenizer, true)).toBeUndefined();
});
