/** A tokenizer in the terms of GGUF: what llama.cpp makes of these keys has to be what tokenizer.json says. */
import { isDeepStrictEqual } from 'node:util';
import type { DocumentMarks } from '../data/document-marks.js';
import { GPT2_PATTERN, LLAMA3_PATTERN, QWEN_PATTERN } from '../data/patterns.js';
import { addedTokensOf, entriesOf, mergesOf, type Step, stepsOf, type TokenizerFile } from '../data/tokenizer-file.js';
import { UserError } from '../errors.js';
import { stripsAsPhi3 } from './gguf-name.js';
import { refuseTokenizer } from './gguf-refusal.js';
import { sentencePieceTerms } from './gguf-sentencepiece.js';
import type { GgufValue } from './gguf-write.js';
import type { TokenIds } from './hf-config.js';

/** How llama.cpp is told where a text is split, with the pattern and what goes with it there. */
const SPLITS = [
  { pre: 'gpt-2', pattern: GPT2_PATTERN, ignoresMerges: false, isNfc: false },
  { pre: 'llama-bpe', pattern: LLAMA3_PATTERN, ignoresMerges: true, isNfc: false },
  { pre: 'dbrx', pattern: LLAMA3_PATTERN, ignoresMerges: false, isNfc: false }, // GPT-4's, of Phi-4 and OLMo 2
  // llama.cpp takes texts as they are: most are in NFC
  { pre: 'qwen2', pattern: QWEN_PATTERN, ignoresMerges: false, isNfc: true },
] as const;

/** The numbers of the kinds of tokens. */
const KINDS = { normal: 1, control: 3, userDefined: 4, unused: 5 } as const;

/** The keys of a tokenizer, and what llama.cpp does otherwise with some texts. */
export interface GgufTokenizer {
  readonly values: Map<string, GgufValue>;
  readonly notes: readonly string[];
  /** Whether its added tokens are those of a Phi-3, which llama.cpp goes by the name for. */
  readonly isPhi3: boolean;
}

/**
 * Returns the keys of a tokenizer; entries of the model beyond the tokenizer's are marked as unused.
 * @throws UserError when it is no BPE of bytes or with byte fallback, or one that llama.cpp would read otherwise.
 */
export function ggufTokenizer(
  file: TokenizerFile,
  { separatorId, startIds }: DocumentMarks,
  tokenIds: TokenIds,
  vocabSize: number,
): GgufTokenizer {
  const added = new Map(addedTokensOf(file).map(token => [token.id, token]));
  const spelled = new Map([...entriesOf(file)].map(([token, id]) => [id, token]));
  const tokens = Array.from({ length: vocabSize }, (_, id) => spelled.get(id) ?? `[PAD${id}]`);
  const pieces = file.model.byte_fallback === true ? sentencePieceTerms(file, tokens) : undefined;
  const kindOf = (id: number): number => {
    if (!spelled.has(id)) return KINDS.unused;
    const token = added.get(id);
    const own = pieces?.kindOf(id, token);
    if (own !== undefined) return own;
    if (!token) return KINDS.normal;
    return token.special ? KINDS.control : KINDS.userDefined;
  };
  if (startIds.length > 1) {
    throw new UserError(`documents begin with ${startIds.length} tokens, and GGUF has one at most; use --format hf`);
  }
  // a config.json may say -1 where there is none
  const first = (ids: TokenIds['bos_token_id']) => [ids ?? []].flat().find(id => id >= 0 && id < vocabSize);
  const bos = startIds[0] ?? first(tokenIds.bos_token_id);
  const pad = first(tokenIds.pad_token_id);
  const values = new Map<string, GgufValue>([
    ...(pieces?.values ?? byteLevelValues(file)),
    ['tokenizer.ggml.tokens', { strings: tokens }],
    ['tokenizer.ggml.token_type', { i32s: tokens.map((_, id) => kindOf(id)) }],
    ['tokenizer.ggml.eos_token_id', { u32: separatorId }],
    ...(bos === undefined ? [] : [['tokenizer.ggml.bos_token_id', { u32: bos }] as const]),
    ...(pad === undefined ? [] : [['tokenizer.ggml.padding_token_id', { u32: pad }] as const]),
    ['tokenizer.ggml.add_bos_token', { bool: startIds.length > 0 }],
  ]);
  return { values, notes: pieces?.notes ?? strippingNotes(file), isPhi3: stripsAsPhi3(file, tokens) };
}

function byteLevelValues(file: TokenizerFile): Map<string, GgufValue> {
  return new Map<string, GgufValue>([
    ['tokenizer.ggml.model', { string: 'gpt2' }],
    ['tokenizer.ggml.pre', { string: splitOf(file) }],
    ['tokenizer.ggml.merges', { strings: mergesOf(file).map(merge => merge.join(' ')) }],
  ]);
}

function strippingNotes(file: TokenizerFile): string[] {
  const stripping = addedTokensOf(file).find(({ lstrip, rstrip }) => lstrip || rstrip);
  if (!stripping) return [];
  return [`the token '${stripping.content}' takes the blanks beside it away, and in llama.cpp it does not`];
}

/** Returns the name of how a tokenizer splits a text. @throws UserError naming what GGUF cannot say. */
function splitOf(file: TokenizerFile): string {
  const { type, vocab, ignore_merges, dropout, continuing_subword_prefix } = file.model;
  const steps = stepsOf(file.pre_tokenizer);
  const last = steps.at(-1);
  if (type === 'Unigram' || Array.isArray(vocab) || file.model.merges === undefined) refuseTokenizer('it is no BPE');
  if (dropout || continuing_subword_prefix || last?.type !== 'ByteLevel') {
    refuseTokenizer('it is no byte-level BPE');
  }
  if (last!.add_prefix_space === true) refuseTokenizer('it puts a blank before a text');
  const pattern = patternOf(steps) ?? refuseTokenizer('it splits a text in several ways');
  const ofPattern = SPLITS.filter(known => known.pattern === pattern);
  if (ofPattern.length === 0)
    return refuseTokenizer(`it splits a text by a pattern of its own, ${pattern.slice(0, 60)}…`);
  const ignoresMerges = ignore_merges === true;
  const split = ofPattern.find(known => known.ignoresMerges === ignoresMerges);
  if (!split) return refuseTokenizer(`its ignore_merges is ${ignoresMerges}`);
  const normalizers = stepsOf(file.normalizer).map(step => step.type);
  if (!isDeepStrictEqual(normalizers, []) && !(split.isNfc && isDeepStrictEqual(normalizers, ['NFC']))) {
    refuseTokenizer(`it normalizes a text (${normalizers.join(', ')})`);
  }
  return split.pre;
}

/** Returns the one pattern that a text is split by, before its bytes are spelled. */
function patternOf(steps: readonly Step[]): string | undefined {
  const [first, ...others] = steps;
  if (others.length === 0) return first?.use_regex === false ? undefined : GPT2_PATTERN;
  if (others.length > 1 || first!.type !== 'Split') return undefined;
  // the two are one, since the patterns match every part of a text
  const isWhole = first!.behavior === (first!.invert === true ? 'Removed' : 'Isolated');
  if (!isWhole) return undefined;
  return others[0]!.use_regex === false
    ? (first!.pattern as { readonly Regex?: string } | undefined)?.Regex
    : undefined;
}
