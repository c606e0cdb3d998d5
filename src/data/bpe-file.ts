/**
 * The tokenizer.json of a byte-level BPE: the file that training starts from, a trained one cut to size, or continued.
 */
import { isDeepStrictEqual } from 'node:util';
import { UserError } from '../errors.js';
import { GPT2_PATTERN, QWEN_PATTERN, WORD_PATTERN } from './patterns.js';
import { entriesOf, type Merge, parseTokenizerFile, stepsOf, type TokenizerFile } from './tokenizer-file.js';

/** The token that stands after every document, at id 0. */
export const SEPARATOR = '<|endoftext|>';

const BYTES = 256;
/** The size of a vocabulary of the separator and the bytes alone. */
export const SMALLEST_VOCABULARY = 1 + BYTES;

/** Returns a tokenizer.json without any merge. */
export function untrainedBpe(pattern = WORD_PATTERN): string {
  return bpeFile(new Map([[SEPARATOR, 0]]), [], pattern);
}

/**
 * Returns the trained tokenizer.json `json` with its first merges only, as many as `vocabSize` entries take. The ids
 * are the separator, the bytes, then the merges in the order in which they were found.
 * @param pattern the pattern that it was trained with.
 * @throws UserError when there are too few merges.
 */
export function shortenBpe(json: string, vocabSize: number, pattern: string): string {
  const { merges } = (JSON.parse(json) as { model: { merges: Merge[] } }).model;
  // a Map, since code holds words like 'constructor' that an object has already
  const vocab = new Map([[SEPARATOR, 0]]);
  for (const symbol of byteSymbols()) vocab.set(symbol, vocab.size);
  const kept: Merge[] = [];
  for (const [left, right] of merges) {
    if (vocab.size === vocabSize) break;
    kept.push([left, right]);
    // two merges may make the same entry
    if (!vocab.has(left + right)) vocab.set(left + right, vocab.size);
  }
  if (vocab.size < vocabSize) {
    throw new UserError(
      `training on this text reaches a vocabulary of ${vocab.size} entries, not ${vocabSize} (and never more than ` +
        `about 30,000); ask for at most ${vocab.size}, or add text`,
    );
  }
  return bpeFile(vocab, kept, pattern);
}

/** Whether a tokenizer.json spells bytes as symbols in its vocabulary, one character each. */
export function isByteLevel(json: string): boolean {
  return stepsOf(parseTokenizerFile(json).pre_tokenizer).some(({ type }) => type === 'ByteLevel');
}

/** Whether a file differs from what `tokenizer train` writes in its vocabulary and merges alone. */
export function isOwnBpe({ model, ...rest }: TokenizerFile): boolean {
  if (Array.isArray(model.vocab) || model.merges === undefined) return false;
  const empty = { ...rest, model: { ...model, vocab: {}, merges: [] } };
  return [WORD_PATTERN, GPT2_PATTERN, QWEN_PATTERN].some(pattern =>
    isDeepStrictEqual(empty, parseTokenizerFile(bpeFile(new Map(), [], pattern))),
  );
}

/**
 * Returns the tokenizer.json `json` of a BPE with further merges behind its own, and new entries. Added tokens enter
 * the vocabulary, since a reader would otherwise number them behind it.
 */
export function continueBpeFile(
  json: string,
  learned: { readonly merges: readonly Merge[]; readonly entries: Iterable<readonly [token: string, id: number]> },
): string {
  const file = parseTokenizerFile(json);
  // entries are kept in a Map, since code holds words like 'constructor' that an object has already
  const vocab = new Map([...entriesOf(file), ...learned.entries]);
  const { merges = [] } = file.model;
  const spelled = typeof merges[0] === 'string' ? learned.merges.map(merge => merge.join(' ')) : learned.merges;
  const model = { ...file.model, vocab: Object.fromEntries(vocab), merges: [...merges, ...spelled] };
  return JSON.stringify({ ...file, model });
}

/**
 * Returns the byte symbols of byte-level BPE: a printable byte stands for itself, each other one for a code point from
 * 256 on.
 */
function byteSymbols(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: BYTES }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

function bpeFile(vocab: ReadonlyMap<string, number>, merges: readonly Merge[], pattern: string): string {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false };
  const split = { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
  const separator = { content: SEPARATOR, single_word: false, lstrip: false, rstrip: false, normalized: false };
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [{ id: 0, ...separator, special: true }],
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [split, byteLevel] },
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(vocab),
      merges,
    },
  });
}
