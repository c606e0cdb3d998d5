/** The tokenizer.json of a byte-level BPE: the one that training starts from, and a trained one cut to size. */
import { UserError } from '../errors.js';

/** The token that stands after every document, at id 0. */
export const SEPARATOR = '<|endoftext|>';

const BYTES = 256;
/** The separator and the bytes. */
export const SMALLEST_VOCABULARY = 1 + BYTES;

type Merge = readonly [left: string, right: string];

/** A tokenizer.json without any merge. */
export function untrainedBpe(): string {
  return bpeFile(new Map([[SEPARATOR, 0]]), []);
}

/**
 * The trained tokenizer.json `json` with the first merges only, as many as `vocabSize` entries take: ids are the
 * separator, the bytes, then merges in the order they were found.
 * @throws UserError when there are too few merges.
 */
export function shortenBpe(json: string, vocabSize: number): string {
  const { merges } = (JSON.parse(json) as { model: { merges: Merge[] } }).model;
  // a Map, for code holds words like 'constructor' that an object has already
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
  return bpeFile(vocab, kept);
}

/** The byte symbols of byte-level BPE: printable ones stand for themselves, the rest for code points from 256 on. */
function byteSymbols(): string[] {
  const isPrintable = (byte: number) =>
    (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || (byte >= 174 && byte <= 255);
  let next = 256;
  return Array.from({ length: BYTES }, (_, byte) => String.fromCodePoint(isPrintable(byte) ? byte : next++));
}

function bpeFile(vocab: ReadonlyMap<string, number>, merges: readonly Merge[]): string {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
  const separator = { content: SEPARATOR, single_word: false, lstrip: false, rstrip: false, normalized: false };
  return JSON.stringify({
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [{ id: 0, ...separator, special: true }],
    normalizer: null,
    pre_tokenizer: byteLevel,
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
