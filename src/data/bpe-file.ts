/** The tokenizer.json of a byte-level BPE: the one that training starts from, a trained one cut to size, or continued. */
import { z } from 'zod';
import { UserError } from '../errors.js';

/** The token that stands after every document, at id 0. */
export const SEPARATOR = '<|endoftext|>';

const BYTES = 256;
/** The separator and the bytes. */
export const SMALLEST_VOCABULARY = 1 + BYTES;

export type Merge = readonly [left: string, right: string];

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

const addedToken = z.looseObject({ id: z.int().nonnegative(), content: z.string() });
const byteLevelFile = z.looseObject({
  added_tokens: z.array(addedToken).default([]),
  model: z.looseObject({
    type: z.literal('BPE'),
    // not a record, from which '__proto__' would be left out
    vocab: z.custom<Readonly<Record<string, number>>>(value => typeof value === 'object' && value !== null),
    // files from before 2024 spell a merge 'left right'
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])),
  }),
});

/** Whether a tokenizer.json spells bytes as symbols, a character each, in its vocabulary. */
export function isByteLevel(json: string): boolean {
  type Part = { type?: string; pretokenizers?: readonly Part[] } | null;
  const has = (part?: Part): boolean => part?.type === 'ByteLevel' || (part?.pretokenizers ?? []).some(has);
  return has((JSON.parse(json) as { pre_tokenizer?: Part }).pre_tokenizer);
}

/** Entries of a byte-level BPE's vocabulary, without added tokens. @throws UserError when the file is not one. */
export function entriesOfBpe(json: string): Map<string, number> {
  return new Map(Object.entries(parseByteLevel(json).model.vocab));
}

/**
 * The tokenizer.json `json` with further merges behind its own. What a merge makes gets the next id from `firstId` on,
 * unless it is an entry already. Added tokens enter the vocabulary, since a reader would else number them behind it.
 * @throws UserError when the file is not a byte-level BPE.
 */
export function continueBpeFile(json: string, merges: readonly Merge[], firstId: number): string {
  const file = parseByteLevel(json);
  const vocab = new Map(Object.entries(file.model.vocab));
  for (const { id, content } of file.added_tokens) vocab.set(content, id);
  let next = firstId;
  for (const [left, right] of merges) if (!vocab.has(left + right)) vocab.set(left + right, next++);
  const spelled = typeof file.model.merges[0] === 'string' ? merges.map(merge => merge.join(' ')) : merges;
  const model = { ...file.model, vocab: Object.fromEntries(vocab), merges: [...file.model.merges, ...spelled] };
  return JSON.stringify({ ...file, model });
}

function parseByteLevel(json: string): z.infer<typeof byteLevelFile> {
  const parsed = byteLevelFile.safeParse(JSON.parse(json));
  if (parsed.success && isByteLevel(json)) return parsed.data;
  throw new UserError(
    'the tokenizer is not a byte-level BPE, which alone can be continued on text; extend it with the tools that made it',
  );
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
