/** Rows that are no documents, numbers that are no JSON, and documents without text. */
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, test } from 'vitest';
import { BadRows } from '../../src/data/bad-rows.js';
import { readDocuments } from '../../src/data/documents.js';
import { parsePythonJson } from '../../src/data/json-numbers.js';
import { encodeScoredText } from '../../src/data/scored-text.js';
import { TokenDataset } from '../../src/data/shards.js';
import { tokenizeFiles } from '../../src/data/tokenize.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { UserError } from '../../src/errors.js';
import { documentsOf, temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();

async function skipping(path: string, field = 'text') {
  const rows = new BadRows('skip');
  const texts: string[] = [];
  for await (const { text } of readDocuments(path, field, undefined, rows)) texts.push(text);
  return { texts, rows };
}

describe('a number that is no JSON, as Python writes it', () => {
  test('in a field that is not asked for leaves the text as it is', async () => {
    const text = 'NaN, "Infinity" and \\"-Infinity\\", \\ and \\\\';
    const lines = ['NaN', 'Infinity', '-Infinity', '[1, NaN, {"a": -Infinity}]'].flatMap(value => [
      `{"text": ${JSON.stringify(text)}, "score": ${value}}`,
      `{"score":${value},"NaN":${JSON.stringify(text)},"text":${JSON.stringify(text)}}`,
    ]);
    expect(await documentsOf(write('scores.jsonl', lines.join('\n')))).toEqual(lines.map(() => text));
  });

  test('is null, and nothing else is taken for one', () => {
    expect(parsePythonJson('{"a": NaN, "b": [-Infinity, "NaN\\\\", "Infinity\\""], "c": Infinity}')).toEqual({
      a: null,
      b: [null, 'NaN\\', 'Infinity"'],
      c: null,
    });
    expect(parsePythonJson('NaN')).toBe(null);
    for (const text of [
      '{"a": NaNs}',
      '{"a": --Infinity}',
      '{"a": xNaN}',
      '{"a": NaN',
      '{NaN: 1}',
      '"NaN',
      '{"a": nan}',
    ]) {
      expect(() => parsePythonJson(text), text).toThrow(SyntaxError);
    }
  });

  test('of a long line takes time in proportion to it', () => {
    const long = '\\"x'.repeat(2 ** 20);
    expect(parsePythonJson(`{"text": "${long}", "score": NaN}`)).toEqual({ text: '"x'.repeat(2 ** 20), score: null });
  });
});

const mixed = [
  '{"text": "one"}',
  'not JSON',
  '{"text": null}',
  '',
  'null',
  '{"text": ""}',
  '{"body": "x"}',
  '{"text": NaN}',
  '["text"]',
  '{"text": "two", "score": NaN}',
].join('\n');

describe('a row that is no document', () => {
  test.each([
    [
      '{"text": "one"}\n{"text": null}',
      /2 has no text in its field 'text'; its fields: text\. Choose one with --field; mend/,
    ],
    [
      '{"text": "one"}\nnull',
      /line 2 is not a JSON object; mend the row, or leave out such rows with --on-bad-row skip$/,
    ],
    [
      '{"text": "one"}\n{"text": "tw',
      /line 2 is not JSON: .*; mend the row, or leave out such rows with --on-bad-row skip$/,
    ],
    ['{"text": "one"}\n{"text": NaN}', /line 2 has no text in its field 'text'/],
  ])('is an error by default: %s', async (lines, message) => {
    const attempt = documentsOf(write('bad.jsonl', lines));
    await expect(attempt).rejects.toThrow(message);
    await expect(attempt).rejects.toThrow(UserError);
  });

  test('is left out where that is asked for, counted, and the first are told', async () => {
    const path = write('mixed.jsonl.gz', gzipSync(mixed));
    const { texts, rows } = await skipping(path);
    expect(texts).toEqual(['one', 'two']);
    expect(rows.counts).toMatchObject({ badRows: { count: 6 }, emptyDocuments: 1 });
    expect(rows.counts.badRows.first.map(({ file, unit, number }) => [file, unit, number])).toEqual(
      [2, 3, 5, 7, 8].map(line => [path, 'line', line]),
    );
    const places = [2, 3, 5, 7, 8].map(line => `'${path}' line ${line}`).join(', ');
    expect(rows.summary).toBe(`6 bad row(s) left out: ${places}, …; 1 empty document(s) left out`);
    expect((await skipping(write('good.jsonl', '{"text": "one"}'))).rows.summary).toBeUndefined();
  });

  test('of a Parquet file is a null in the column; other columns are not read', async () => {
    const columnData = [
      { name: 'text', data: ['one', null, '', 'two'], type: 'STRING' as const },
      { name: 'other', data: ['x', 'y', 'z', 'café'], type: 'STRING' as const },
    ];
    const bytes = new Uint8Array(parquetWriteBuffer({ columnData, codec: 'UNCOMPRESSED' }));
    for (let at = Buffer.from(bytes).indexOf('café'); at >= 0; at = Buffer.from(bytes).indexOf('café'))
      bytes[at + 3] = 0xff;
    const path = write('nulls.parquet', bytes);
    await expect(documentsOf(path, 'other')).rejects.toThrow(/not UTF-8/);
    await expect(documentsOf(path)).rejects.toThrow(/ row 2 has no text in column 'text'; mend .*--on-bad-row skip/);
    const { texts, rows } = await skipping(path);
    expect(texts).toEqual(['one', 'two']);
    expect(rows.counts).toMatchObject({
      badRows: { count: 1, first: [{ file: path, unit: 'row', number: 2 }] },
      emptyDocuments: 1,
    });
    await expect(skipping(path, 'other')).rejects.toThrow(/not UTF-8/);
  });

  test('is not a file that cannot be read as text', async () => {
    const bytes = Buffer.from(`${mixed}\n{"text": "x"}`);
    bytes[bytes.length - 3] = 0xff;
    await expect(skipping(write('latin.jsonl', bytes))).rejects.toThrow(/is not UTF-8/);
    await expect(skipping(write('cut.jsonl.gz', gzipSync(mixed).subarray(0, 30)))).rejects.toThrow(/cannot be decompr/);
    await expect(skipping(write('blank.jsonl', '\n\n'))).rejects.toThrow(/has only blank lines/);
  });
});

test('what is left out leaves nothing behind: tokens, counts and bytes are those of the good rows', async () => {
  const good = write('good.jsonl', '{"text": "one"}\n{"text": "two"}');
  const bad = write('mixed.jsonl', mixed);
  const blank = write('blank.txt', '\uFEFF');
  const options = { vocabSize: 257, field: 'text' };
  const tokenizer = await trainTokenizer([good], { ...options, out: join(folder, 'a.json') });
  const rows = new BadRows('skip');
  const same = await trainTokenizer([bad, blank], { ...options, out: join(folder, 'b.json'), rows });
  expect(same.json).toBe(tokenizer.json);
  expect(rows.counts).toMatchObject({ badRows: { count: 6 }, emptyDocuments: 2 });
  const tokensOf = async (files: string[], out: string) => {
    const settings = { tokenizer, field: 'text', out: join(folder, out), heldOutTokens: 0 };
    const index = await tokenizeFiles(files, { ...settings, rows: new BadRows('skip') });
    const dataset = TokenDataset.open(join(folder, out));
    const ids = [...dataset.readTrain(0, dataset.trainTokens)];
    dataset.close();
    return { ids, text: index.text, documents: index.sources.map(({ documents }) => documents) };
  };
  const { ids, text } = await tokensOf([good], 'good');
  expect(text).toEqual({ bytes: 6, documents: 2 });
  expect(await tokensOf([bad, blank], 'bad')).toEqual({ ids, text, documents: [2, 0] });
  const scored = await encodeScoredText([bad, blank], 'text', tokenizer, { rows: new BadRows('skip') });
  expect(scored).toEqual(await encodeScoredText([good], 'text', tokenizer));
});

test('where nothing is left there is nothing to train a tokenizer on', async () => {
  const out = join(folder, 'none.json');
  const attempt = trainTokenizer([write('null.jsonl', 'null\n')], {
    ...{ vocabSize: 257, field: 'text', out, rows: new BadRows('skip') },
  });
  await expect(attempt).rejects.toThrow(/there is no text to train a tokenizer on: 1 bad row\(s\) left out: .*line 1$/);
  await expect(attempt).rejects.toThrow(UserError);
});
