/** Documents of text files, as a stream of pieces, so that a file of any size needs little memory. */
import { BadRows } from './bad-rows.js';
import { readJsonLines } from './json-lines.js';
import { readParquetTexts } from './parquet.js';
import { type DocumentPiece, inPieces } from './pieces.js';
import { type OnRead, readText } from './text-stream.js';

export type { DocumentPiece } from './pieces.js';

/**
 * Reads the documents of a file: a .txt is one, a line of .jsonl is one (its string `field`), a row of .parquet is one
 * (its column `field`). A long document comes in pieces, cut where byte-level BPE cuts anyway: encoding piece by piece
 * gives the tokens of the whole. A document without a character is left out.
 * @param onRead is told how many more bytes of the file, as it is stored, were read.
 * @param rows is told lines and rows that are no documents, and empty documents; by default a bad row is an error.
 * @throws UserError naming the file, and the line, row or byte, of what cannot be read.
 */
export async function* readDocuments(
  path: string,
  field: string,
  onRead?: OnRead,
  rows = new BadRows(),
): AsyncGenerator<DocumentPiece> {
  let begins = true;
  for await (const piece of readPieces(path, field, rows, onRead)) {
    const isEmpty = begins && piece.endOfDocument && piece.text === '';
    begins = piece.endOfDocument;
    if (isEmpty) rows.addEmptyDocument();
    else yield piece;
  }
}

async function* readPieces(path: string, field: string, rows: BadRows, onRead?: OnRead): AsyncGenerator<DocumentPiece> {
  if (/\.txt(\.(gz|zst))?$/.test(path)) return yield* inPieces(readText(path, onRead));
  const read = path.endsWith('.parquet') ? readParquetTexts : readJsonLines;
  for await (const text of read(path, field, rows, onRead)) yield* inPieces([text]);
}
