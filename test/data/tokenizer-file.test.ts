/** Parts of a tokenizer.json that are not of their kind: what reads them says so, or passes them over. */
import { expect, test } from 'vitest';
import { untrainedBpe } from '../../src/data/bpe-file.js';
import { safeCuts } from '../../src/data/cuts.js';
import { idsBeforeText, largestNeededId, parseTokenizerFile } from '../../src/data/tokenizer-file.js';
import { UserError } from '../../src/errors.js';

const own = JSON.parse(untrainedBpe()) as Record<string, unknown>;
const file = (fields: Record<string, unknown>) => parseTokenizerFile(JSON.stringify({ ...own, ...fields }));

test.each([
  ['no text', { type: 'TemplateProcessing', special_tokens: {} }],
  ['text that is none', { type: 'TemplateProcessing', single: [null], special_tokens: {} }],
  ['tokens without ids', { type: 'TemplateProcessing', single: [], special_tokens: { a: {} } }],
])('a template with %s is refused', (_, processor) => {
  const attempt = () => idsBeforeText(file({ post_processor: processor }));
  expect(attempt).toThrow(UserError);
  expect(attempt).toThrow(/TemplateProcessing is none: /);
});

test('a template whose token is the name of what every object has puts nothing before a text', () => {
  const single = [{ SpecialToken: { id: 'constructor' } }, { Sequence: {} }];
  const processor = { type: 'TemplateProcessing', single, special_tokens: {} };
  expect(idsBeforeText(file({ post_processor: processor }))).toEqual([]);
});

test.each([
  ['a sequence of none', { normalizer: { type: 'Sequence', normalizers: 1 } }],
  [
    'a sequence within one',
    { normalizer: { type: 'Sequence', normalizers: [{ type: 'Sequence', normalizers: [1] }] } },
  ],
  ['a first token without its id', { post_processor: { type: 'BertProcessing', cls: [] } }],
])('steps are checked: %s', (_, fields) => {
  expect(() => file(fields)).toThrow(UserError);
});

test.each([[{}], [null], ['1'], [-1], [0.5]])('an id that is none is refused: %j', id => {
  expect(() => file({ model: { type: 'BPE', vocab: { a: id }, merges: [] } })).toThrow(UserError);
});

test('parts by no pattern make no cut known', () => {
  expect(safeCuts(file({ pre_tokenizer: { type: 'Split', behavior: 'Isolated' } }), true)).toBeUndefined();
});

test('special tokens need no row of a model, but for those that stand between documents', () => {
  const token = { ...(own.added_tokens as object[])[0], special: true };
  const added = [0, 7, 9].map(id => ({ ...token, id, content: `<${id}>` }));
  const json = (fields: object) =>
    JSON.stringify({
      ...own,
      added_tokens: added,
      model: { type: 'BPE', vocab: { a: 1, b: 2 }, merges: [] },
      ...fields,
    });
  expect(largestNeededId(json({}))).toEqual({ id: 2, token: 'b' });
  expect(largestNeededId(json({}), [7])).toEqual({ id: 7, token: '<7>' });
  const ordinary = { ...token, id: 8, content: 'x', special: false };
  expect(largestNeededId(json({ added_tokens: [...added, ordinary] }), [7])).toEqual({ id: 8, token: 'x' });
});
