/**
 * Continues the training of a byte-level BPE: keeps its merges in their order and learns further ones on new text, which
 * the old merges have cut into tokens. Since merges apply in the order they were learned, every new one finds the tokens
 * that it was learned from, so that no new token is out of reach; a second vocabulary that is merged in does not have
 * that. Sennrich et al., 2016 (arXiv 1508.07909), with counts kept up to date in the words that change.
 */
import { UserError } from '../errors.js';
import type { BadRows } from './bad-rows.js';
import { continueBpeFile, entriesOfBpe, type Merge } from './bpe-file.js';
import { readDocuments } from './documents.js';
import type { OnRead } from './text-stream.js';
import { TextTokenizer } from './tokenizer.js';

/** A word's tokens, and how often it stands in the text. */
export interface CountedWord {
  ids: readonly number[];
  count: number;
}

export interface ContinueBpeOptions {
  /** Tokens to add. */
  readonly add: number;
  /** Field or column of the text in .jsonl and .parquet. */
  readonly field: string;
  /** Bytes of UTF-8 text to look at, default 500 MB: the first ones of the files as they are listed. */
  readonly maxBytes?: number;
  /** What is done with bad rows, and counts them; by default they are errors. */
  readonly rows?: BadRows;
  readonly onRead?: OnRead;
}

/**
 * The tokenizer with `add` further entries, whose ids follow on its own; old ids stay. The same text gives the same file.
 * @throws UserError when the tokenizer is not a byte-level BPE, or the text gives fewer pairs that occur twice.
 */
export async function continueBpe(
  tokenizer: TextTokenizer,
  files: readonly string[],
  options: ContinueBpeOptions,
): Promise<TextTokenizer> {
  const { add } = options;
  const entries = entriesOfBpe(tokenizer.json);
  const words = await countWords(tokenizer, files, options);
  const merges = learnMerges(words, entries, tokenizer.vocabSize, add);
  const continued = TextTokenizer.parse(continueBpeFile(tokenizer.json, merges, tokenizer.vocabSize));
  const added = continued.vocabSize - tokenizer.vocabSize;
  if (added < add) {
    throw new UserError(
      `the text gives ${added} new tokens that occur twice, not ${add}; add fewer, or give more text`,
    );
  }
  return continued;
}

/** Words of more than one token, in the order in which they first occur. */
async function countWords(
  tokenizer: TextTokenizer,
  files: readonly string[],
  { field, maxBytes = 5e8, rows, onRead }: ContinueBpeOptions,
): Promise<CountedWord[]> {
  const words = new Map<string, CountedWord>();
  let bytes = 0;
  for (const file of files) {
    for await (const { text } of readDocuments(file, field, onRead, rows)) {
      for (const ids of await tokenizer.encodeWords(text)) {
        if (ids.length < 2) continue;
        const key = ids.join();
        const word = words.get(key);
        if (word) word.count++;
        else words.set(key, { ids, count: 1 });
      }
      bytes += Buffer.byteLength(text);
      if (bytes >= maxBytes) return [...words.values()];
    }
  }
  return [...words.values()];
}

/**
 * Learns merges until they have made `add` entries, ids from `firstId` on, or no pair occurs twice: each time of the most
 * frequent pair, of equals the one that was seen first. A merge that makes an entry that is there already adds none.
 */
export function learnMerges(
  words: readonly CountedWord[],
  entries: ReadonlyMap<string, number>,
  firstId: number,
  add: number,
): Merge[] {
  const ids = new Map(entries);
  const symbols = new Map([...entries].map(([symbol, id]) => [id, symbol]));
  const tokens = words.map(word => word.ids);
  const pairs = new PairCounts();
  for (const [w, word] of tokens.entries()) pairs.count(word, words[w]!.count, w);
  const merges: Merge[] = [];
  for (let next = firstId; next < firstId + add; ) {
    const best = pairs.mostFrequent();
    if (!best) break;
    const { left, right } = best;
    const merge = [symbols.get(left)!, symbols.get(right)!] as const;
    const symbol = merge.join('');
    merges.push(merge);
    const id = ids.get(symbol) ?? next++;
    ids.set(symbol, id);
    symbols.set(id, symbol);
    for (const w of best.words) {
      const merged = mergePair(tokens[w]!, left, right, id);
      if (merged.length === tokens[w]!.length) continue; // another merge had taken the pair away
      pairs.count(tokens[w]!, -words[w]!.count, w);
      pairs.count(merged, words[w]!.count, w);
      tokens[w] = merged;
    }
  }
  return merges;
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

/** How often pairs of neighbours occur, and in which words. */
class PairCounts {
  /** Place of a pair in the arrays below, by left · 2^26 + right. */
  readonly #places = new Map<number, number>();
  readonly #pairs: { readonly left: number; readonly right: number; readonly words: Set<number> }[] = [];
  /** Apart, since the search for the largest goes through all of them. */
  readonly #counts: number[] = [];

  /** Adds `count` for every pair of word number `w`. */
  count(word: readonly number[], count: number, w: number): void {
    for (let i = 1; i < word.length; i++) {
      const [left, right] = [word[i - 1]!, word[i]!];
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

  /** @returns undefined when no pair occurs twice. `words` hold the pair, or did. */
  mostFrequent(): { readonly left: number; readonly right: number; readonly words: readonly number[] } | undefined {
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
    return { left, right, words: [...words] };
  }
}
