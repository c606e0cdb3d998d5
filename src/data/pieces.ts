/** Long documents in pieces whose tokens are those of the whole, so that a document of any length needs little memory. */

/** A part of a document. The pieces of a document follow each other; the last one ends it. */
export interface DocumentPiece {
  readonly text: string;
  readonly endOfDocument: boolean;
}

/** UTF-16 units of a piece, about. From 2^17 down to here, smaller ones took less memory and less time to encode. */
const PIECE = 2 ** 12;
/** A text with no place to cut for this long is cut where it is. */
const LONGEST_PIECE = 2 ** 19;

/**
 * Places, seen from the two characters before and the one behind, where cutting leaves the tokens as they are. Byte-level
 * BPE merges only within the parts that a pattern splits its input into, and the patterns in use (GPT-2's, and those of
 * Llama 3, Qwen and GPT-4, where line ends belong to the punctuation before them) all begin a new part
 * - at a space behind anything that is not white space,
 * - at a line end behind a letter or digit,
 * - at a letter or digit behind a single line end.
 * None looks further back, and none looks ahead but over white space, so that the parts on both sides are the same with
 * and without the cut; nor does NFC put characters together or in another order over any of these places. NEL (U+0085) is white space to these patterns, but not to JavaScript.
 */
const SAFE_CUT = /[^\s\u0085][ \t\u3000]$|[\p{L}\p{N}][\n\r]$|^[^\s\u0085]\n[\p{L}\p{N}]$/u;

/** The pieces of one document, whose text comes in chunks of any size. */
export async function* inPieces(
  chunks: AsyncIterable<string> | Iterable<string>,
): AsyncGenerator<DocumentPiece, void, undefined> {
  let held = '';
  for await (const chunk of chunks) {
    held += chunk;
    while (held.length > 2 * PIECE) {
      const cut = findCut(held);
      if (cut === undefined) break;
      yield { text: held.slice(0, cut), endOfDocument: false };
      held = held.slice(cut);
    }
  }
  yield { text: held, endOfDocument: true };
}

/** The last safe cut within a piece, else the first behind it; undefined when more text is needed to know. */
function findCut(text: string): number | undefined {
  const isSafe = (i: number) => SAFE_CUT.test(text.slice(i - 2, i + 1));
  for (let i = PIECE; i >= 2; i--) if (isSafe(i)) return i;
  const end = Math.min(text.length, LONGEST_PIECE);
  for (let i = PIECE + 1; i < end; i++) if (isSafe(i)) return i;
  if (text.length <= LONGEST_PIECE) return undefined;
  const middleOfPair = /[\uDC00-\uDFFF]/.test(text[LONGEST_PIECE]!);
  return middleOfPair ? LONGEST_PIECE + 1 : LONGEST_PIECE;
}
