import { copyFileSync, readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parquetWriteBuffer } from 'hyparquet-writer';
import { describe, expect, test } from 'vitest';
import { readDocuments } from '../../src/data/documents.js';
import { messageOf, UserError } from '../../src/errors.js';
import { documentsOf, partsOf, temporaryFolder } from './temporary.js';

const { folder, write } = temporaryFolder();
const texts = ['Les phares tournent, la nuit.', 'Encore une ligne é 漢字.'];
const jsonl = (field = 'text') => texts.map(text => `${JSON.stringify({ id: 1, [field]: text })}\n`).join('');
const fixture = join(import.meta.dirname, '../fixtures/data/two-documents.jsonl.zst');
const parquet = (data: string[], options = {}) =>
  new Uint8Array(parquetWriteBuffer({ columnData: [{ name: 'text', data, type: 'STRING' }], ...options }));

/** A frame of blocks that each stand for 128 KiB of zeros in four bytes. */
const zstdOfZeros = (blocks: number): Buffer => {
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38]); // the magic number, no size, a window of 128 KiB
  const block = (isLast: boolean) => {
    const head = ((2 ** 17) << 3) | (1 << 1) | (isLast ? 1 : 0);
    return Buffer.from([head & 255, (head >> 8) & 255, head >> 16, 0]);
  };
  return Buffer.concat([header, ...Array.from({ length: blocks }, (_, i) => block(i === blocks - 1))]);
};

/** What reading `data` under this name throws. */
async function failureOf(name: string, data: string | Uint8Array, field = 'text'): Promise<string> {
  const error = await documentsOf(write(name, data), field).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(UserError);
  const { message } = error as UserError;
  expect(message).toContain(join(folder, name));
  return message;
}

describe('formats', () => {
  test.each([
    ['a.jsonl', jsonl()],
    ['crlf.jsonl', jsonl().replaceAll('\n', '\r\n')],
    ['blank-lines.jsonl', `\n${jsonl().replaceAll('\n', '\n\n')}`],
    ['no-last-line-end.jsonl', jsonl().trimEnd()],
    ['bom.jsonl', `\uFEFF${jsonl()}`],
    ['a.jsonl.gz', gzipSync(jsonl())],
    ['a.jsonl.zst', readFileSync(fixture)],
    ['two-frames.jsonl.zst', Buffer.concat([readFileSync(fixture), readFileSync(fixture)])],
    ['a.parquet', parquet(texts)],
    ['row-groups.parquet', parquet(texts, { rowGroupSize: 1 })],
    ['uncompressed.parquet', parquet(texts, { codec: 'UNCOMPRESSED' })],
  ])('%s', async (name, data) => {
    const twice = name.startsWith('two') ? [...texts, ...texts] : texts;
    expect(await documentsOf(write(name, data))).toEqual(twice);
  });

  test('a .txt is one document, without its byte order mark, plain and compressed', async () => {
    const text = `${texts.join('\n')}\n`;
    expect(await documentsOf(write('a.txt', `\uFEFF${text}`))).toEqual([text]);
    expect(await documentsOf(write('a.txt.gz', gzipSync(text)))).toEqual([text]);
    const members = Buffer.concat([gzipSync(texts[0]!), gzipSync(texts[1]!)]);
    expect(await documentsOf(write('members.txt.gz', members))).toEqual([texts.join('')]);
    const path = join(folder, 'a.txt.zst');
    copyFileSync(fixture, path);
    expect((await documentsOf(path))[0]).toContain('{"text": "Encore une ligne é 漢字."}\n');
  });

  test('another field', async () => {
    expect(await documentsOf(write('field.jsonl', jsonl('content')), 'content')).toEqual(texts);
  });

  test('lines and characters that chunks of the file divide stay whole', async () => {
    const long = Array.from({ length: 40 }, (_, i) => `${i}é漢😀`.repeat(1 + 977 * i));
    const path = write('long.jsonl', long.map(text => `${JSON.stringify({ text })}\n`).join(''));
    expect(await documentsOf(path)).toEqual(long);
  });

  test('all stored bytes are reported as read', async () => {
    for (const [name, data] of [
      ['read.txt', 'x'.repeat(200_000)],
      ['read.jsonl.gz', gzipSync(jsonl())],
      ['read.parquet', parquet(texts, { rowGroupSize: 1 })],
    ] as const) {
      let bytes = 0;
      const onRead = (more: number) => {
        bytes += more;
      };
      for await (const _ of readDocuments(write(name, data), 'text', onRead));
      expect(bytes, name).toBe(data.length);
    }
  });

  test('a reader may stop early', async () => {
    const path = write('stop.txt.gz', gzipSync('some words '.repeat(100_000)));
    for await (const { text } of readDocuments(path, 'text')) {
      expect(text.length).toBeGreaterThan(0);
      break;
    }
  });
});

test('the parts of a document hold its text whole', async () => {
  const text = 'Some words, and a line end.\n'.repeat(40_000);
  const parts = await partsOf(write('words.txt', text));
  expect(parts.map(part => part.text).join('')).toBe(text);
  expect(parts.map(part => part.endOfDocument)).toEqual(parts.map((_, i) => i === parts.length - 1));
});

describe('what cannot be read', () => {
  test.each(['e.txt', 'e.jsonl', 'e.txt.gz', 'e.txt.zst', 'e.parquet'])('%s without a byte', async name => {
    expect(await failureOf(name, '')).toMatch(/ is empty$/);
  });

  test('a compressed file of nothing', async () => {
    expect(await failureOf('nothing.txt.gz', gzipSync(''))).toMatch(/ is empty$/);
  });

  test.each([
    ['gzip', 'zeros.txt.gz', () => gzipSync(Buffer.alloc(2 ** 27))],
    ['a block of Zstandard that repeats a byte', 'zeros.txt.zst', () => zstdOfZeros(2000)],
  ])('what expands to far more than a text does: %s', async (_, name, data) => {
    expect(await failureOf(name, data())).toMatch(/expands to more than 200 times its size/);
  });

  test('a line without an end', async () => {
    const path = write('endless.jsonl', '');
    truncateSync(path, 2 ** 28 + 1);
    const error = await partsOf(path).catch(messageOf);
    expect(error).toMatch(/^'.*endless.jsonl' line 1 is longer than 268435456 characters; each line must be one JSON/);
  });

  test('a missing file', async () => {
    await expect(documentsOf(join(folder, 'gone.txt.gz'))).rejects.toThrow(/no file '.*gone\.txt\.gz'/);
    await expect(documentsOf(join(folder, 'gone.parquet'))).rejects.toThrow(/no file '.*gone\.parquet'/);
  });

  test('not UTF-8, with the byte', async () => {
    const text = Buffer.from('é'.repeat(100_001));
    text[150_000] = 0xff;
    expect(await failureOf('latin.txt', text)).toMatch(/is not UTF-8 near byte 150000; convert it/);
    expect(await failureOf('cut-character.txt', Buffer.from('aé').subarray(0, 2))).toMatch(/near byte 2;/);
    expect(await failureOf('latin.jsonl.gz', gzipSync(Buffer.from('{"text": "\xe9t\xe9"}', 'latin1')))).toMatch(
      /near byte 1\d;/,
    );
  });

  test('a .jsonl line that is not JSON, not an object, or lacks the field', async () => {
    expect(await failureOf('syntax.jsonl', `${jsonl()}\n{"text": \n`)).toMatch(/ line 4 is not JSON: /);
    expect(await failureOf('array.jsonl', `${jsonl()}["text"]`)).toMatch(/ line 3 is not a JSON object; /);
    expect(await failureOf('number.jsonl', '7')).toMatch(/ line 1 is not a JSON object; /);
    expect(await failureOf('lacks.jsonl', '{"id": 1, "body": "x"}')).toMatch(
      / line 1 has no field 'text'; its fields: id, body\. Choose one with --field; /,
    );
    expect(await failureOf('inherited.jsonl', '{"id": 1}', 'constructor')).toMatch(/ has no field 'constructor'/);
    expect(await failureOf('null.jsonl', '{"text": null}')).toMatch(/ line 1 has no text in its field 'text'/);
    expect(await failureOf('blank.jsonl', '\n \n')).toMatch(/ has only blank lines$/);
  });

  test('cut-off and damaged compression', async () => {
    const noise = Array.from({ length: 20_000 }, (_, i) => Math.imul(i, 0x9e3779b9)).join(' ');
    const gz = gzipSync(noise);
    const zst = readFileSync(fixture);
    const expected = /cannot be decompressed \(.+\); it is cut off or damaged/;
    for (const size of [5, 100, gz.length >> 1, gz.length - 1]) {
      expect(await failureOf('cut.txt.gz', gz.subarray(0, size))).toMatch(expected);
    }
    for (const size of [3, 10, 40, zst.length - 5]) {
      expect(await failureOf('cut.txt.zst', zst.subarray(0, size))).toMatch(expected);
    }
    expect(await failureOf('fake.txt.gz', 'plain text')).toMatch(expected);
    expect(await failureOf('fake.txt.zst', 'plain text')).toMatch(expected);
  });

  test('Parquet that is none, cut off, without the column, rows, or text', async () => {
    expect(await failureOf('fake.parquet', 'plain text, no magic')).toMatch(/is not a Parquet file, or is cut off/);
    expect(await failureOf('cut.parquet', parquet(texts).slice(0, -20))).toMatch(
      /is not a Parquet file, or is cut off/,
    );
    expect(await failureOf('column.parquet', parquet(texts), 'body')).toMatch(
      /has no column 'body'; its columns: text\. Choose one/,
    );
    expect(await failureOf('rows.parquet', parquet([]))).toMatch(/ has no rows$/);
    const numbers = parquetWriteBuffer({ columnData: [{ name: 'text', data: [1, 2], type: 'INT32' }] });
    expect(await failureOf('numbers.parquet', new Uint8Array(numbers))).toMatch(/ row 1 has no text in column 'text'/);
    const latin = parquet(['caf\u00e9'], { codec: 'UNCOMPRESSED' });
    const at = Buffer.from(latin).indexOf('café');
    latin.set([0xff, 0xfe], at + 3);
    expect(await failureOf('latin.parquet', latin)).toMatch(/ rows 1 to 1: column 'text' .*not UTF-8/);
  });
});
