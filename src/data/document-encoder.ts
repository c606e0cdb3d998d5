/** Encodes documents: piece by piece where that gives the ids of the whole, with the tokens that stand around each. */
import { type DocumentPart, PieceCutter } from './pieces.js';
import type { SpecialTokens, TextTokenizer } from './tokenizer.js';

export interface EncodedPiece {
  /** The ids of the text, and of the marks around the document where the piece begins or ends it. */
  readonly ids: readonly number[];
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

  constructor(tokenizer: TextTokenizer, { specialTokens = 'text' }: DocumentEncoderOptions = {}) {
    this.#tokenizer = tokenizer;
    this.#specialTokens = specialTokens;
    this.#cutter = new PieceCutter(tokenizer.safeCuts(specialTokens));
  }

  /**
   * Takes the next part of a document, and yields what can be encoded by now. The ids of a document's pieces, one
   * behind the other, are `startIds`, those of its whole text, and `separatorId`.
   * @throws UserError when a document is too long to be held and has no place to cut.
   */
  async *encode(part: DocumentPart): AsyncGenerator<EncodedPiece, void, undefined> {
    const { startIds, separatorId } = this.#tokenizer;
    for (const { text, beginsDocument, endOfDocument } of this.#cutter.add(part)) {
      const specialTokens = this.#specialTokens;
      const own = await this.#tokenizer.encode(text, { specialTokens, continues: !beginsDocument });
      const before = beginsDocument ? startIds : [];
      const after = endOfDocument ? [separatorId] : [];
      const spelledMarks = own.reduce((bytes, id) => bytes + (this.#tokenizer.markBytes.get(id) ?? 0), 0);
      yield {
        ids: [...before, ...own, ...after],
        marks: before.length + after.length,
        bytes: Buffer.byteLength(text) - spelledMarks,
        spelled: this.#tokenizer.countSpecialTokens(text),
        endOfDocument,
      };
    }
  }
}
