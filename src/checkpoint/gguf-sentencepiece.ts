/** A BPE with byte fallback, converted from SentencePiece, in the terms of GGUF. */
import {
  type AddedToken,
  addedTokensOf,
  hasEveryByte,
  hasTextPrefix,
  mergesOf,
  replacementsOf,
  stepsOf,
  type TokenizerFile,
} from '../data/tokenizer-file.js';
import { stripsAsPhi3 } from './gguf-name.js';
import { refuseTokenizer } from './gguf-refusal.js';
import { type TokenScore, tokenScores } from './gguf-scores.js';
import type { GgufValue } from './gguf-write.js';

/** What stands for a blank, U+2581. */
const BLANK = '▁';
const BYTE = /^<0x[0-9A-F]{2}>$/;

/** The numbers of the kinds of tokens that only these tokenizers have. */
const KINDS = { normal: 1, unknown: 2, byte: 6 } as const;

export interface SentencePieceTerms {
  readonly values: Map<string, GgufValue>;
  /** Returns the kind of a token where it is one of this tokenizer's own. */
  kindOf(id: number, added: AddedToken | undefined): number | undefined;
  /** What llama.cpp does otherwise with some texts. */
  readonly notes: readonly string[];
}

/**
 * Returns what GGUF says of the tokenizer beside its tokens.
 * @param tokens every token by its id.
 * @throws UserError when llama.cpp would read the tokenizer otherwise.
 */
export function sentencePieceTerms(file: TokenizerFile, tokens: readonly string[]): SentencePieceTerms {
  checkModel(file);
  const prefix = prefixOf(file);
  checkAdded(file, prefix, tokens);
  const scores = tokenScores(tokens, mergesOf(file));
  checkScores(file, tokens, scores);
  const unknown = file.model.unk_token;
  const unknownId = typeof unknown === 'string' ? tokens.indexOf(unknown) : -1;
  return {
    values: new Map<string, GgufValue>([
      ['tokenizer.ggml.model', { string: 'llama' }],
      ['tokenizer.ggml.pre', { string: 'default' }],
      ['tokenizer.ggml.scores', { f32s: scores.map(({ score }) => score ?? 0) }],
      ['tokenizer.ggml.add_space_prefix', { bool: prefix !== 'never' }],
      ...(unknownId < 0 ? [] : [['tokenizer.ggml.unknown_token_id', { u32: unknownId }] as const]),
    ]),
    kindOf(id, added) {
      const token = tokens[id]!;
      if (id === unknownId) return KINDS.unknown;
      if (!added) return BYTE.test(token) ? KINDS.byte : undefined;
      // Gemma's runs of blanks, which merges make: llama.cpp would show the blanks of a token that is found in the text
      return !added.special && token.includes(BLANK) && scores[id]!.score !== undefined ? KINDS.normal : undefined;
    },
    notes: notesOf(prefix),
  };
}

function checkModel(file: TokenizerFile): void {
  const { type, vocab, merges, ignore_merges, dropout, continuing_subword_prefix, end_of_word_suffix } = file.model;
  if (type === 'Unigram' || Array.isArray(vocab) || merges === undefined) refuseTokenizer('it is no BPE');
  if (ignore_merges === true) refuseTokenizer('its ignore_merges is true');
  if (dropout || continuing_subword_prefix || end_of_word_suffix) {
    refuseTokenizer('it drops merges, or marks where a word goes on or ends');
  }
  if (!hasEveryByte(file)) refuseTokenizer('it has no tokens for some bytes');
  if (mergesOf(file).some(merge => merge.some(part => BYTE.test(part)))) refuseTokenizer('it merges bytes');
  const replacements = [...(replacementsOf(file) ?? [])];
  if (replacements.length === 1 && replacements[0]!.join() === ` ,${BLANK}`) return;
  const steps = [...stepsOf(file.normalizer), ...stepsOf(file.pre_tokenizer)].map(step => step.type);
  refuseTokenizer(`before it merges, it does more to a text than writing blanks as '${BLANK}' (${steps.join(', ')})`);
}

/**
 * Returns where a blank is put: before every text between tokens that are found in it (`each`), the same but where one
 * is there already (`lacking`), before the first one (`first`), or nowhere.
 */
function prefixOf(file: TokenizerFile): 'each' | 'lacking' | 'first' | 'never' {
  const prepended = stepsOf(file.normalizer).find(step => step.type === 'Prepend');
  if (prepended && prepended.prepend !== BLANK) refuseTokenizer(`it puts '${prepended.prepend}' before a text`);
  const metaspace = stepsOf(file.pre_tokenizer).find(step => step.type === 'Metaspace');
  if (metaspace && metaspace.split !== false) {
    const joining = mergesOf(file).find(([, right]) => right.includes(BLANK));
    if (joining) refuseTokenizer(`it splits a text at blanks, and a merge makes '${joining.join('')}'`);
  }
  if (prepended) return 'each';
  if (!metaspace || !hasTextPrefix(file)) return 'never';
  return metaspace.prepend_scheme === 'first' ? 'first' : 'lacking';
}

function notesOf(prefix: ReturnType<typeof prefixOf>): string[] {
  if (prefix === 'each' || prefix === 'never') return [];
  const behind = prefix === 'first' ? ', and behind a special token' : '';
  return [
    `llama.cpp puts a blank before a text that begins with one already${behind}, which this tokenizer does not; ` +
      'texts of another kind have the same tokens',
  ];
}

function checkAdded(file: TokenizerFile, prefix: ReturnType<typeof prefixOf>, tokens: readonly string[]): void {
  const isPhi3 = stripsAsPhi3(file, tokens);
  for (const { content, lstrip, rstrip, single_word, normalized } of addedTokensOf(file)) {
    if (single_word) refuseTokenizer(`its token '${content}' is found as a whole word only`);
    if ((lstrip || rstrip) && !isPhi3) refuseTokenizer(`its token '${content}' takes the blanks beside it away`);
    if (normalized === true && prefix === 'each') {
      refuseTokenizer(`its token '${content}' is normalized, and so found behind a blank only`);
    }
  }
}

/** @throws UserError when llama.cpp would join two tokens that no merge joins. */
function checkScores(file: TokenizerFile, tokens: readonly string[], scores: readonly TokenScore[]): void {
  const found = new Set(addedTokensOf(file).flatMap(token => (token.special ? [] : [token.content])));
  for (const [id, { apart }] of scores.entries()) {
    if (!apart || found.has(tokens[id]!)) continue; // what is found in a text is not merged
    const [left, right] = apart;
    refuseTokenizer(`no merge makes '${tokens[id]}' of '${left}' and '${right}', which llama.cpp would join`);
  }
}
