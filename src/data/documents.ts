/** Documents of text files, as a stream of pieces, so that a file of any size needs little memory. */
import { UserError } from '../errors.js';
import { readParquetTexts } from './parquet.js';
import { readText } from './text-stream.js';

export interface DocumentPiece {
  readonly text: string;
  readonly endOfDocument: boolean;
}

/** Characters of a piece, about; a longer document comes in several. */
const PIECE = 1 << 17;

/**
 * A .txt file is one document, a line of .jsonl one (its string `field`), a row of .parquet one (its column `field`).
 * @throws UserError naming the file, and the line or column, of what cannot be read.
 */
export async function* readDocuments(path: string, field: string): AsyncGenerator<DocumentPiece> {
  if (path.endsWith('.parquet')) yield* documents(readParquetTexts(path, field));
  else if (/\.jsonl(\.|$)/.test(path)) yield* documents(readJsonLines(path, field));
  else yield* inPieces(readText(path));
}

/** Whole texts, each a document of its own. */
async function* documents(texts: AsyncIterable<string>): AsyncGenerator<DocumentPiece> {
  for await (const text of texts) yield* inPieces([text]);
}

/**
 * One document, cut between a character that is not white space and a white-space one: a byte-level BPE splits its
 * input there anyway (no pre-token holds white space after another character), so that the tokens of the pieces are
 * those of the whole. A text that has no such place for four pieces is cut where it is.
 */
async function* inPieces(chunks: AsyncIterable<string> | Iterable<string>): AsyncGenerator<DocumentPiece> {
  let held = '';
  for await (const chunk of chunks) {
    held += chunk;
    while (held.length > 2 * PIECE) {
      const cut = cutBefore(held);
      if (cut === 0) break;
      yield { text: held.slice(0, cut), endOfDocument: false };
      held = held.slice(cut);
    }
  }
  while (held.length > 2 * PIECE) {
    const cut = cutBefore(held) || held.length;
    yield { text: held.slice(0, cut), endOfDocument: cut === held.length };
    held = held.slice(cut);
    if (held === '') return;
  }
  yield { text: held, endOfDocument: true };
}

/** Where to cut: the last boundary within a piece, else the first behind it; 0 when more text is needed to know. */
function cutBefore(text: string): number {
  const isBoundary = (i: number) => /\s/.test(text[i]!) && /\S/.test(text[i - 1]!);
  for (let i = PIECE; i > 0; i--) if (isBoundary(i)) return i;
  for (let i = PIECE + 1; i < text.length; i++) if (isBoundary(i)) return i;
  if (text.length < 4 * PIECE) return 0;
  const middleOfPair = /[\uDC00-\uDFFF]/.test(text[PIECE]!);
  return middleOfPair ? PIECE + 1 : PIECE;
}

async function* readJsonLines(path: string, field: string): AsyncGenerator<string> {
  let held = '';
  let line = 0;
  for await (const chunk of readText(path)) {
    const lines = (held + chunk).split('\n');
    held = lines.pop()!;
    for (const text of lines) {
      line++;
      if (text.trim()) yield fieldOf(text, path, line, field);
    }
  }
  if (held.trim()) yield fieldOf(held, path, line + 1, field);
}

function fieldOf(text: string, path: string, line: number, field: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(`'${path}' line ${line} is not JSON: ${(error as Error).message}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError(`'${path}' line ${line} is not a JSON object`);
  }
  const found = (value as Record<string, unknown>)[field];
  if (typeof found !== 'string') {
    const what = found === undefined ? 'has no' : 'has no text in its';
    const names = Object.keys(value).join(', ') || 'none';
    throw new UserError(
      `'${path}' line ${line} ${what} field '${field}'; its fields: ${names}. Choose one with --field.`,
    );
  }
  return found;
}
