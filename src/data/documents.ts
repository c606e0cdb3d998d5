/** Documents of text files, as a stream of parts, so that a file of any size needs little memory. */
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
 * @param rows is told lines and rows that are no documents, and empty documents; by default a bad row is an error.
 * @throws UserError naming the file, and the line, row or byte, of what cannot be read.
 */
export async function* readDocuments(
  path: string,
  field = 'text',
  onRead?: OnRead,
  rows = new BadRows(),
): AsyncGenerator<DocumentPart> {
  let begins = true;
  for await (const part of readParts(path, field, rows, onRead)) {
    const isEmpty = begins && part.endOfDocument && part.text === '';
    begins = part.endOfDocument;
    if (isEmpty) rows.addEmptyDocument();
    else yield part;
  }
}

async function* readParts(path: string, field: string, rows: BadRows, onRead?: OnRead): AsyncGenerator<DocumentPart> {
  if (/\.txt(\.(gz|zst))?$/.test(path)) {
    for await (const text of readText(path, onRead)) yield { text, endOfDocument: false };
    yield { text: '', endOfDocument: true };
    return;
  }
  const read = path.endsWith('.parquet') ? readParquetTexts : readJsonLines;
  for await (const text of read(path, field, rows, onRead)) yield { text, endOfDocument: true };
}
