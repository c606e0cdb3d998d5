/** Encodes documents: piece by piece where that gives the ids of the whole, with the tokens that stand around each. */
import { type DocumentPart, type Piece, PieceCutter } from './pieces.js';
import { charactersOf, type TextSpan, touches } from './spans.js';
import type { SpecialTokens, TextTokenizer } from './tokenizer.js';

export interface EncodedPiece {
  /** The ids of the text, and of the marks around the document where the piece begins or ends it. */
  readonly ids: readonly number[];
  /** Whether each id is trained, where the document has spans. */
  readonly trained?: readonly boolean[] | undefined;
  /** The number of ids that are marks. */
  readonly marks: number;
  /** The UTF-8 bytes of the text, without marks that are spelled out in it and became marks. */
  readonly bytes: number;
  /** The number of special tokens that are spelled out in the text. */
  readonly spelled: number;
  readonly endOfDocument: boolean;
}

export interface DocumentEncoderOptions {
  /** What a special token that is spelled out in a document becomes; by default it is text like any other. */
  readonly specialTokens?: SpecialTokens | undefined;
}

/** Encodes documents that come in parts of any size, one after another. */
export class DocumentEncoder {
  readonly #tokenizer: TextTokenizer;
  readonly #specialTokens: SpecialTokens;
  readonly #cutter: PieceCutter;
  /** The characters of the document before the next piece, where it has spans. */
  #characters = 0;

  constructor(tokenizer: TextTokenizer, { specialTokens = 'text' }: DocumentEncoderOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#specialTokens = specialTokens;
    this.#cutter = new PieceCutter(tokenizer.safeCuts(specialTokens));
  }

  /**
   * Takes the next part of a document, and yields what can be encoded by now. The ids of a document's pieces, one
   * behind the other, are `startIds`, those of its whole text, and `separatorId`. With spans, an id is trained where
   * one of its characters is; what stands around the document goes with its first and its last character.
   * @throws UserError when a document is too long to be held and has no place to cut.
   */
  async *encode(part: DocumentPart): AsyncGenerator<EncodedPiece, void, undefined> {
    const { startIds, separatorId } = this.#tokenizer;
    for (const piece of this.#cutter.add(part)) {
      const { text, beginsDocument, endOfDocument } = piece;
      const { ids: own, trained } = await this.#idsOf(piece, part.spans);
      const before = beginsDocument ? startIds : [];
      const after = endOfDocument ? [separatorId] : [];
      const spelledMarks = own.reduce((bytes, id) => bytes + (this.#tokenizer.markBytes.get(id) ?? 0), 0);
      yield {
        ids: [...before, ...own, ...after],
        trained,
        marks: before.length + after.length,
        bytes: Buffer.byteLength(text) - spelledMarks,
        spelled: this.#tokenizer.countSpecialTokens(text),
        endOfDocument,
      };
    }
  }

  async #idsOf({ text, beginsDocument, endOfDocument }: Piece, spans: readonly TextSpan[] | undefined) {
    const options = { specialTokens: this.#specialTokens, continues: !beginsDocument };
    if (!spans) return { ids: await this.#tokenizer.encode(text, options), trained: undefined };
    const { ids, offsets } = await this.#tokenizer.encodeWithOffsets(text, options);
    const first = beginsDocument ? 0 : this.#characters;
    const end = first + charactersOf(text);
    this.#characters = end;
    const trained = offsets.map(([from, to]) => touches(spans, first + from, first + to));
    const before = beginsDocument ? this.#tokenizer.startIds.map(() => touches(spans, 0, 1)) : [];
    const after = endOfDocument ? [touches(spans, end - 1, end)] : [];
    return { ids, trained: [...before, ...trained, ...after] };
  }
}
