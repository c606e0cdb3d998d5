/**
 * The words of a text as the tokens that a BPE makes of them, to learn further tokens from: no new token crosses a
 * word.
 */
import { UserError } from '../errors.js';
import { isByteLevel } from './bpe-file.js';
import type { EncodeOptions, TextTokenizer } from './tokenizer.js';
import { parseTokenizerFile, replacementsOf } from './tokenizer-file.js';

export interface WordReader {
  /** Returns the ids of each word of a text. Ids from `missing` stand for characters that are no token yet. */
  words(text: string, options: EncodeOptions): Promise<number[][]>;
  readonly missing: ReadonlyMap<number, string>;
}

/**
 * Returns a reader for a tokenizer's words.
 * @throws UserError when the tokenizer is neither a byte-level BPE nor one with byte fallback, as SentencePiece has.
 */
export function wordReaderOf(tokenizer: TextTokenizer): WordReader {
  if (isByteLevel(tokenizer.json)) {
    return { words: (text, options) => tokenizer.encodeWords(text, options), missing: new Map() };
  }
  const file = parseTokenizerFile(tokenizer.json);
  const blank = replacementsOf(file)?.get(' ');
  if (file.model.type === 'BPE' && file.model.byte_fallback && blank) return new ByteFallbackWords(tokenizer, blank);
  throw new UserError(
    'the tokenizer is neither a byte-level BPE nor one with byte fallback, which alone can be continued on text; ' +
      'extend it with the tools that made it',
  );
}

/** The spelling of a byte as a token. A character is missing where it is spelled by these. */
const BYTE_TOKEN = /^<0x([0-9A-F]{2})>$/;
/** The first id of missing characters, far above those of tokens. */
export const FIRST_MISSING = 2 ** 25;

/**
 * Words for SentencePiece, which merges over blanks, digits and punctuation alike and leaves it to training where words
 * end. Here a word is a run of letters with their marks, and the blank before it.
 */
class ByteFallbackWords implements WordReader {
  readonly missing = new Map<number, string>();
  readonly #ids = new Map<string, number>();
  readonly #tokenizer: TextTokenizer;
  readonly #spelling: ReadonlyMap<number, string>;
  readonly #blank: string;
  readonly #isWord: RegExp;

  constructor(tokenizer: TextTokenizer, blank: string) {
    this.#tokenizer = tokenizer;
    this.#spelling = new Map([...tokenizer.vocabulary].map(([token, id]) => [id, token]));
    this.#blank = blank;
    this.#isWord = new RegExp(`^${blank}?[\\p{L}\\p{M}\\u200c\\u200d]*$`, 'u');
  }

  async words(text: string, options: EncodeOptions): Promise<number[][]> {
    const words: number[][] = [];
    let word: number[] = [];
    const end = () => {
      if (word.length > 0) words.push(word);
      word = [];
    };
    for (const [symbol, id] of this.#symbols(await this.#tokenizer.encode(text, options))) {
      if (!this.#isWord.test(symbol)) end();
      else {
        if (symbol.startsWith(this.#blank)) end();
        word.push(id);
      }
    }
    end();
    return words;
  }

  /** Returns tokens with their spelling; the bytes of a missing character count as one token. */
  *#symbols(ids: readonly number[]): Generator<readonly [symbol: string, id: number]> {
    let bytes: number[] = [];
    for (const id of [...ids, -1]) {
      const symbol = this.#spelling.get(id) ?? '';
      const byte = BYTE_TOKEN.exec(symbol)?.[1];
      if (byte !== undefined) {
        bytes.push(Number.parseInt(byte, 16));
        continue;
      }
      for (const character of Buffer.from(bytes).toString()) yield [character, this.#idOf(character)];
      bytes = [];
      if (id >= 0) yield [symbol, id];
    }
  }

  #idOf(character: string): number {
    let id = this.#ids.get(character);
    if (id === undefined) {
      id = FIRST_MISSING + this.#ids.size;
      this.#ids.set(character, id);
      this.missing.set(id, character);
    }
    return id;
  }
}
