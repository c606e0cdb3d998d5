/** Tokenizers in Hugging Face's tokenizer.json format, through their own package: loading and using them. */
import type { Encoding, Tokenizer } from 'tokenizers';
import { messageOf, UserError } from '../errors.js';
import { readText } from '../input-files.js';
import { requireNative } from '../natives.js';
import { type SafeCut, safeCuts } from './cuts.js';
import { type DocumentMarks, documentMarks, type MarkOptions, readNeighbours } from './document-marks.js';
import {
  addedTokensOf,
  hasTextPrefix,
  parseTokenizerFile,
  type TokenizerFile,
  withoutSpecialTokens,
  withoutTextPrefix,
} from './tokenizer-file.js';
import { tryTokenizer } from './tokenizer-trial.js';

/** What a special token that is spelled out in a text becomes: text like any other, or that token. */
export const SPECIAL_TOKENS = ['text', 'tokens'] as const;
export type SpecialTokens = (typeof SPECIAL_TOKENS)[number];

export interface EncodeOptions {
  /**
   * What a special token that is spelled out in the text becomes; by default that token, as everywhere in this format.
   */
  readonly specialTokens?: SpecialTokens | undefined;
  /** Whether the text goes on with another, so that nothing is put before it (SentencePiece puts a blank there). */
  readonly continues?: boolean | undefined;
}

export class TextTokenizer implements DocumentMarks {
  /** The file's text, to be kept beside data and checkpoints. */
  readonly json: string;
  /** One more than the largest id: the rows that an embedding needs, also where a file leaves ids out. */
  readonly vocabSize: number;
  readonly separatorId: number;
  readonly startIds: readonly number[];
  /** The ids of the marks around documents, each with the UTF-8 bytes of its spelling. */
  readonly markBytes: ReadonlyMap<number, number>;
  /** Every entry as the file spells it, with its id. */
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #file: TokenizerFile;
  readonly #tokenizer: Tokenizer;
  /** Tokenizers of variants of the file, which encode as their key says; each is made when it is first needed. */
  readonly #variants = new Map<string, Tokenizer>();
  readonly #spelledSpecial: RegExp | undefined;

  private constructor(json: string, marksOf: (file: TokenizerFile) => DocumentMarks) {
    this.json = json;
    this.#file = parseTokenizerFile(json);
    tryTokenizer(json, this.#file);
    this.#tokenizer = nativeTokenizer(json);
    this.vocabulary = new Map(Object.entries(this.#tokenizer.getVocab(true)));
    this.vocabSize = [...this.vocabulary.values()].reduce((most, id) => Math.max(most, id), -1) + 1;
    const { separatorId, startIds } = marksOf(this.#file);
    this.separatorId = separatorId;
    this.startIds = startIds;
    const bytesOf = (id: number) => Buffer.byteLength(this.#tokenizer.idToToken(id) ?? '');
    this.markBytes = new Map([separatorId, ...startIds].map(id => [id, bytesOf(id)]));
    this.#spelledSpecial = anyOf(addedTokensOf(this.#file).flatMap(token => (token.special ? [token.content] : [])));
  }

  /**
   * Loads a tokenizer.json. The marks around documents are those that the files beside it name (config.json,
   * generation_config.json, tokenizer_config.json), or else those of the file itself.
   * @throws UserError when the file is missing or damaged, or has no such marks.
   */
  static load(path: string, options: MarkOptions = {}): TextTokenizer {
    const json = readText(path, `there is no tokenizer '${path}'; make one with 'babelgrad tokenizer train'`);
    const neighbours = readNeighbours(path);
    try {
      return new TextTokenizer(json, file => documentMarks(file, neighbours, options));
    } catch (error) {
      throw new UserError(`'${path}': ${messageOf(error)}`);
    }
  }

  /**
   * Makes a tokenizer from the text of a tokenizer.json.
   * @param marks the marks around documents, where they are known from elsewhere.
   * @throws UserError when the text is not a tokenizer, or names no token that ends a document.
   */
  static parse(json: string, marks?: DocumentMarks): TextTokenizer {
    return new TextTokenizer(json, file => marks ?? documentMarks(file, {}));
  }

  /** Returns the ids of the text alone, without the marks of a document. */
  async encode(text: string, options: EncodeOptions = {}): Promise<number[]> {
    return (await this.#encode(text, options)).getIds();
  }

  /** Returns the ids as `encode` does, each with its characters from start to end: code points of the text. */
  async encodeWithOffsets(
    text: string,
    options: EncodeOptions = {},
  ): Promise<{
    readonly ids: readonly number[];
    readonly offsets: readonly (readonly [start: number, end: number])[];
  }> {
    const encoding = await this.#encode(text, options);
    return { ids: encoding.getIds(), offsets: encoding.getOffsets() as [number, number][] };
  }

  /**
   * Returns the ids of the beginning of a document, to be continued: those that begin a document, and those of the
   * text. If there are none at all, it is the token that ends the document before.
   */
  async encodePrompt(text: string, options: EncodeOptions = {}): Promise<number[]> {
    const ids = await this.encode(text, options);
    // the text may spell them out
    const isThere = this.startIds.length > 0 && this.startIds.every((id, i) => ids[i] === id);
    const prompt = isThere ? ids : [...this.startIds, ...ids];
    return prompt.length > 0 ? prompt : [this.separatorId];
  }

  /**
   * Returns the ids of the text by the parts that are encoded apart: words, mostly. Together they are those of
   * `encode`.
   */
  async encodeWords(text: string, options: EncodeOptions = {}): Promise<number[][]> {
    const encoding = await this.#encode(text, options);
    const parts = encoding.getWordIds();
    const words: number[][] = [];
    encoding.getIds().forEach((id, i) => {
      if (i > 0 && parts[i] === parts[i - 1] && parts[i] != null) words.at(-1)!.push(id);
      else words.push([id]);
    });
    return words;
  }

  decode(ids: readonly number[]): Promise<string> {
    return this.#tokenizer.decode([...ids], false);
  }

  /**
   * Returns where a text may be cut so that its pieces give the ids of the whole. All pieces but the first continue.
   */
  safeCuts(specialTokens: SpecialTokens = 'tokens'): SafeCut | undefined {
    return safeCuts(this.#file, specialTokens === 'text');
  }

  /** Returns how many special tokens are spelled out in a text. */
  countSpecialTokens(text: string): number {
    return this.#spelledSpecial ? (text.match(this.#spelledSpecial)?.length ?? 0) : 0;
  }

  #encode(text: string, { specialTokens = 'tokens', continues = false }: EncodeOptions): Promise<Encoding> {
    return this.#variant(specialTokens, continues).encode(text, null, { addSpecialTokens: false });
  }

  #variant(specialTokens: SpecialTokens, continues: boolean): Tokenizer {
    const goesOn = continues && hasTextPrefix(this.#file);
    const key = `${specialTokens} ${goesOn}`;
    let variant = this.#variants.get(key);
    if (!variant) {
      const json = specialTokens === 'text' ? withoutSpecialTokens(this.json) : this.json;
      variant =
        json === this.json && !goesOn ? this.#tokenizer : nativeTokenizer(goesOn ? withoutTextPrefix(json) : json);
      this.#variants.set(key, variant);
    }
    return variant;
  }
}

function nativeTokenizer(json: string): Tokenizer {
  const { Tokenizer } = requireNative<typeof import('tokenizers')>('tokenizers');
  let tokenizer: Tokenizer;
  try {
    tokenizer = Tokenizer.fromString(json);
  } catch (error) {
    throw new UserError(`not a tokenizer.json: ${messageOf(error)}`);
  }
  // files made for classifiers ask for these; either would silently change the text
  tokenizer.disableTruncation();
  tokenizer.disablePadding();
  return tokenizer;
}

/** Returns an expression that finds each of the texts, and of several that begin alike the longest. */
function anyOf(texts: readonly string[]): RegExp | undefined {
  if (texts.length === 0) return undefined;
  const longestFirst = [...texts].sort((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map(text => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('|'), 'g');
}
