/** Documents of text files, as a stream of parts, so that a file of any size needs little memory. */
import { readJsonLines } from './json-lines.js';
import { readParquetTexts } from './parquet.js';
import type { DocumentPart } from './pieces.js';
import { type OnRead, readText } from './text-stream.js';

export type { DocumentPart } from './pieces.js';

/**
 * Reads the documents of a file: a .txt is one, a line of .jsonl is one (its string `field`), a row of .parquet is one
 * (its column `field`). The text of a .txt comes in the parts in which it is read: for a DocumentEncoder to put together.
 * @param onRead is told how many more bytes of the file, as it is stored, were read.
 * @throws UserError naming the file, and the line, row or byte, of what cannot be read.
 */
export async function* readDocuments(path: string, field: string, onRead?: OnRead): AsyncGenerator<DocumentPart> {
  if (/\.txt(\.(gz|zst))?$/.test(path)) {
    for await (const text of readText(path, onRead)) yield { text, endOfDocument: false };
    yield { text: '', endOfDocument: true };
    return;
  }
  const read = path.endsWith('.parquet') ? readParquetTexts : readJsonLines;
  for await (const text of read(path, field, onRead)) yield { text, endOfDocument: true };
}
