/** Cuts long documents into pieces whose tokens are those of the whole, so that any document needs little memory. */
import { UserError } from '../errors.js';
import type { SafeCut } from './cuts.js';
import type { TextSpan } from './spans.js';

/** A part of a document. The parts of a document follow each other; the last one ends it. */
export interface DocumentPart {
  readonly text: string;
  readonly endOfDocument: boolean;
  /** What is trained of a document that is one part; by default all of it. */
  readonly spans?: readonly TextSpan[] | undefined;
}

/** A part of a document that can be encoded apart from the others. */
export interface Piece extends Omit<DocumentPart, 'spans'> {
  readonly beginsDocument: boolean;
}

/**
 * The UTF-16 units of a piece, about. From 2^17 down to this, smaller ones took less memory and less time to encode.
 */
const PIECE = 2 ** 12;
/** The most UTF-16 units that are held: half of what a string can have, so that a part can be added to them. */
const MOST_HELD = 2 ** 28 - 2 ** 16;

/**
 * Puts the parts of documents together, and cuts them where that is safe; a document without such places stays whole.
 */
export class PieceCutter {
  readonly #isSafe: SafeCut | undefined;
  #held = '';
  /** The places of `#held` below this were looked at, and none was safe. */
  #unsafe = 2;
  #begins = true;

  constructor(isSafe: SafeCut | undefined) {
    this.#isSafe = isSafe;
  }

  /**
   * Takes the next part of a document, and yields what can be encoded by now.
   * @throws UserError when a document is too long to be held and has no place to cut.
   */
  *add({ text, endOfDocument }: DocumentPart): Generator<Piece, void, undefined> {
    this.#held += text;
    while (this.#held.length > 2 * PIECE) {
      const cut = this.#findCut();
      if (cut === undefined) break;
      yield this.#take(cut, false);
    }
    if (this.#held.length > MOST_HELD) {
      throw new UserError(
        `a document has over ${MOST_HELD} characters without a place where this tokenizer's text may be cut; divide it`,
      );
    }
    if (endOfDocument) yield this.#take(this.#held.length, true);
  }

  #take(length: number, endOfDocument: boolean): Piece {
    const piece = { text: this.#held.slice(0, length), beginsDocument: this.#begins, endOfDocument };
    this.#held = this.#held.slice(length);
    this.#unsafe = 2;
    this.#begins = endOfDocument;
    return piece;
  }

  /** Returns the last safe cut within a piece, or else the first behind it. */
  #findCut(): number | undefined {
    const isSafe = this.#isSafe;
    if (!isSafe) return undefined;
    const text = this.#held;
    if (this.#unsafe <= PIECE) for (let at = PIECE; at >= 2; at--) if (isSafe(text, at)) return at;
    for (let at = Math.max(this.#unsafe, PIECE + 1); at < text.length; at++) if (isSafe(text, at)) return at;
    this.#unsafe = text.length;
    return undefined;
  }
}
