/**
 * Continues the training of a BPE: it keeps the old merges in their order, and learns further ones on new text that the
 * old merges have cut into tokens. Merges apply in the order in which they were learned, so every new merge finds the
 * tokens that it was learned from, and every new token can be reached. That does not hold for a second vocabulary that
 * is merged in. The method is that of Sennrich et al., 2016 (arXiv 1508.07909), with counts kept up to date in the
 * words that change.
 */
import { UserError } from '../errors.js';
import type { BadRows } from './bad-rows.js';
import { continueBpeFile } from './bpe-file.js';
import { FIRST_MISSING, type WordReader, wordReaderOf } from './bpe-words.js';
import { readDocuments } from './documents.js';
import { PieceCutter } from './pieces.js';
import type { OnRead } from './text-stream.js';
import { TextTokenizer } from './tokenizer.js';
import type { Merge } from './tokenizer-file.js';

/** The tokens of a word, and how often it stands in the text. */
export interface CountedWord {
  ids: readonly number[];
  count: number;
}

export interface ContinueBpeOptions {
  /** The number of tokens to add. */
  readonly add: number;
  /** The field or column of the text in .jsonl and .parquet; by default `text`. */
  readonly field?: string | undefined;
  /** The bytes of UTF-8 text to look at, by default 500 MB: the first bytes of the files as they are listed. */
  readonly maxBytes?: number;
  /** Decides what is done with bad rows, and counts them; by default they are errors. */
  readonly rows?: BadRows;
  readonly onRead?: OnRead;
}

/**
 * Returns the tokenizer with `add` further entries. New ids follow on the old ones, which stay. The same text gives the
 * same file.
 * @throws UserError when the tokenizer is neither a byte-level BPE nor one with byte fallback, or the text gives too
 * few pairs that occur twice.
 * @example
 * import { continueBpe, findModelFolder, TextTokenizer } from 'babelgrad';
 *
 * const tokenizer = TextTokenizer.load(`${findModelFolder('runs/english')}/tokenizer.json`);
 * const extended = await continueBpe(tokenizer, ['text/fr.jsonl.gz'], { add: 200 });
 * console.log(tokenizer.vocabSize, extended.vocabSize);
 */
export async function continueBpe(
  tokenizer: TextTokenizer,
  files: readonly string[],
  options: ContinueBpeOptions,
): Promise<TextTokenizer> {
  const { add } = options;
  const reader = wordReaderOf(tokenizer);
  const words = await countWords(tokenizer, reader, files, options);
  const learned = learnMerges(words, tokenizer.vocabulary, tokenizer.vocabSize, add, reader.missing);
  const continued = TextTokenizer.parse(continueBpeFile(tokenizer.json, learned), tokenizer);
  const added = learned.entries.length;
  if (added < add) {
    throw new UserError(
      `the text gives ${added} new tokens that occur twice, not ${add}; add fewer, or give more text`,
    );
  }
  return continued;
}

/** Counts the words that something can be learned from, in the order in which they first occur. */
async function countWords(
  tokenizer: TextTokenizer,
  reader: WordReader,
  files: readonly string[],
  { field, maxBytes = 5e8, rows, onRead }: ContinueBpeOptions,
): Promise<CountedWord[]> {
  const words = new Map<string, CountedWord>();
  let bytes = 0;
  for (const file of files) {
    const cutter = new PieceCutter(tokenizer.safeCuts('text'));
    for await (const part of readDocuments(file, field, onRead, rows)) {
      for (const { text, beginsDocument } of cutter.add(part)) {
        for (const ids of await reader.words(text, { specialTokens: 'text', continues: !beginsDocument })) {
          if (ids.length === 1 && ids[0]! < FIRST_MISSING) continue; // nothing to learn from
          const key = ids.join();
          const word = words.get(key);
          if (word) word.count++;
          else words.set(key, { ids, count: 1 });
        }
      }
      bytes += Buffer.byteLength(part.text);
      if (bytes >= maxBytes) return [...words.values()];
    }
  }
  return [...words.values()];
}

/** What was learned, in the order of learning. */
export interface Learned {
  readonly merges: readonly Merge[];
  /** The new entries with their ids: those that merges make, and characters that were missing. */
  readonly entries: readonly (readonly [symbol: string, id: number])[];
}

/**
 * Learns until there are `add` new entries, with ids from `firstId` on, or until nothing occurs twice. Each step learns
 * what saves the most tokens, and of equals what was seen first. That is the most frequent pair, or a missing
 * character, which saves all of its bytes but one. A merge that makes an entry that is there already adds none.
 * @param missing the missing characters, by the ids that stand for them in words. They are not merged before they are
 * entries.
 */
export function learnMerges(
  words: readonly CountedWord[],
  entries: ReadonlyMap<string, number>,
  firstId: number,
  add: number,
  missing: ReadonlyMap<number, string> = new Map(),
): Learned {
  const ids = new Map(entries);
  const symbols = new Map([...entries].map(([symbol, id]) => [id, symbol]));
  const tokens = words.map(word => word.ids);
  const pairs = new PairCounts();
  for (const [w, word] of tokens.entries()) pairs.count(word, words[w]!.count, w);
  const characters = missingBySavings(words, missing);
  const merges: Merge[] = [];
  const learned: [string, number][] = [];
  const addEntry = (symbol: string): number => {
    const id = firstId + learned.length;
    learned.push([symbol, id]);
    ids.set(symbol, id);
    symbols.set(id, symbol);
    return id;
  };
  const rewrite = (w: number, rewritten: readonly number[]) => {
    pairs.count(tokens[w]!, -words[w]!.count, w);
    pairs.count(rewritten, words[w]!.count, w);
    tokens[w] = rewritten;
  };
  while (learned.length < add) {
    const best = pairs.mostFrequent();
    const character = characters.at(-1);
    if (character && character.saved >= (best?.count ?? 2)) {
      characters.pop();
      const id = addEntry(character.symbol);
      for (const w of character.words)
        rewrite(
          w,
          tokens[w]!.map(other => (other === character.id ? id : other)),
        );
      continue;
    }
    if (!best) break;
    const { left, right } = best;
    const merge = [symbols.get(left)!, symbols.get(right)!] as const;
    merges.push(merge);
    const symbol = merge.join('');
    const id = ids.get(symbol) ?? addEntry(symbol);
    for (const w of best.words) {
      const merged = mergePair(tokens[w]!, left, right, id);
      if (merged.length < tokens[w]!.length) rewrite(w, merged); // else another merge had taken the pair away
    }
  }
  return { merges, entries: learned };
}

/**
 * Returns the missing characters that occur twice, each with the tokens that it would save. The best comes last, and of
 * equals the one that was seen first.
 */
function missingBySavings(words: readonly CountedWord[], missing: ReadonlyMap<number, string>) {
  const characters = [...missing].map(([id, symbol]) => ({ id, symbol, count: 0, words: new Set<number>() }));
  const byId = new Map(characters.map(character => [character.id, character]));
  for (const [w, word] of words.entries()) {
    for (const id of word.ids) {
      const character = byId.get(id);
      if (!character) continue;
      character.count += word.count;
      character.words.add(w);
    }
  }
  return characters
    .filter(({ count }) => count > 1)
    .map(({ id, symbol, count, words: places }) => {
      return { id, symbol, words: places, saved: count * (Buffer.byteLength(symbol) - 1) };
    })
    .reverse()
    .sort((a, b) => a.saved - b.saved);
}

function mergePair(word: readonly number[], left: number, right: number, id: number): number[] {
  const merged: number[] = [];
  for (let i = 0; i < word.length; i++) {
    if (word[i] === left && word[i + 1] === right) {
      merged.push(id);
      i++;
    } else merged.push(word[i]!);
  }
  return merged;
}

/** Counts how often pairs of neighbours occur, and in which words. */
class PairCounts {
  /** The place of a pair in the arrays below, by left · 2^26 + right. */
  readonly #places = new Map<number, number>();
  readonly #pairs: { readonly left: number; readonly right: number; readonly words: Set<number> }[] = [];
  /** The counts; they stand apart, since the search for the largest goes through all of them. */
  readonly #counts: number[] = [];

  /** Adds `count` for every pair of word number `w`. */
  count(word: readonly number[], count: number, w: number): void {
    for (let i = 1; i < word.length; i++) {
      const [left, right] = [word[i - 1]!, word[i]!];
      if (left >= FIRST_MISSING || right >= FIRST_MISSING) continue;
      const key = left * 2 ** 26 + right;
      let place = this.#places.get(key);
      if (place === undefined) {
        place = this.#counts.length;
        this.#places.set(key, place);
        this.#pairs.push({ left, right, words: new Set() });
        this.#counts.push(0);
      }
      this.#counts[place]! += count;
      if (count > 0) this.#pairs[place]!.words.add(w);
    }
  }

  /**
   * Returns the most frequent pair, with the words that hold it or did. @returns undefined when no pair occurs twice.
   */
  mostFrequent():
    | { readonly left: number; readonly right: number; readonly count: number; readonly words: readonly number[] }
    | undefined {
    const counts = this.#counts;
    let best = -1;
    let most = 1;
    for (let place = 0; place < counts.length; place++) {
      if (counts[place]! > most) {
        most = counts[place]!;
        best = place;
      }
    }
    if (best < 0) return undefined;
    const { left, right, words } = this.#pairs[best]!;
    return { left, right, count: most, words: [...words] };
  }
}
