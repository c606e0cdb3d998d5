/** Documents of text files, as a stream of pieces, so that a file of any size needs little memory. */
import { readJsonLines } from './json-lines.js';
import { readParquetTexts } from './parquet.js';
import { type DocumentPiece, inPieces } from './pieces.js';
import { type OnRead, readText } from './text-stream.js';

export type { DocumentPiece } from './pieces.js';

/**
 * Reads the documents of a file: a .txt is one, a line of .jsonl is one (its string `field`), a row of .parquet is one
 * (its column `field`). A long document comes in pieces, cut where byte-level BPE cuts anyway: encoding piece by piece
 * gives the tokens of the whole.
 * @param onRead is told how many more bytes of the file, as it is stored, were read.
 * @throws UserError naming the file, and the line, row or byte, of what cannot be read.
 */
export async function* readDocuments(path: string, field: string, onRead?: OnRead): AsyncGenerator<DocumentPiece> {
  if (/\.txt(\.(gz|zst))?$/.test(path)) return yield* inPieces(readText(path, onRead));
  const read = path.endsWith('.parquet') ? readParquetTexts : readJsonLines;
  for await (const text of read(path, field, onRead)) yield* inPieces([text]);
}
