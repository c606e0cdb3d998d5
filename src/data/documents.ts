/** Documents of text files, as a stream of parts, so that a file of any size needs little memory. */
import { UserError } from '../errors.js';
import { BadRows } from './bad-rows.js';
import { readJsonLines } from './json-lines.js';
import { readParquetTexts } from './parquet.js';
import type { DocumentPart } from './pieces.js';
import { type OnRead, readText } from './text-stream.js';

export type { DocumentPart } from './pieces.js';

/**
 * Reads the documents of a file: a .txt is one, a line of .jsonl is one (its string `field`), a row of .parquet is one
 * (its column `field`). The text of a .txt comes in the parts in which it is read; a DocumentEncoder puts them
 * together. A document without a character is left out.
 * @param onRead is told how many more bytes of the file, as it is stored, were read.
 * @param spansField the field of .jsonl that holds what is trained, as [[start, end], …]; by default all is.
 * @param rows is told lines and rows that are no documents, and empty documents; by default a bad row is an error.
 * @throws UserError naming the file, and the line, row or byte, of what cannot be read.
 */
export async function* readDocuments(
  path: string,
  field = 'text',
  onRead?: OnRead,
  rows = new BadRows(),
  spansField?: string,
): AsyncGenerator<DocumentPart> {
  const isJson = /\.jsonl(\.(gz|zst))?$/.test(path);
  if (spansField !== undefined && !isJson) {
    throw new UserError(`'${path}' has no spans: only .jsonl has (also .gz or .zst); tokenize it by itself`);
  }
  let begins = true;
  for await (const part of readParts(path, field, rows, onRead, spansField)) {
    const isEmpty = begins && part.endOfDocument && part.text === '';
    begins = part.endOfDocument;
    if (isEmpty) rows.addEmptyDocument();
    else yield part;
  }
}

async function* readParts(
  path: string,
  field: string,
  rows: BadRows,
  onRead?: OnRead,
  spansField?: string,
): AsyncGenerator<DocumentPart> {
  if (/\.txt(\.(gz|zst))?$/.test(path)) {
    for await (const text of readText(path, onRead)) yield { text, endOfDocument: false };
    yield { text: '', endOfDocument: true };
    return;
  }
  if (path.endsWith('.parquet')) {
    for await (const text of readParquetTexts(path, field, rows, onRead)) yield { text, endOfDocument: true };
    return;
  }
  for await (const line of readJsonLines(path, field, rows, onRead, spansField)) yield { ...line, endOfDocument: true };
}
