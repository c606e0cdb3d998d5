/**
 * Where a text may be cut so that the pieces, encoded one by one, give the tokens of the whole. This depends on what is
 * known of a tokenizer: a text is never cut for a kind that is not known here.
 */
import { KNOWN_PATTERNS } from './patterns.js';
import {
  type AddedToken,
  addedTokensOf,
  hasEveryByte,
  hasTextPrefix,
  mergesOf,
  replacementsOf,
  stepsOf,
  type TokenizerFile,
} from './tokenizer-file.js';

/** Whether `text` may be cut before its unit `at` ≥ 2. */
export type SafeCut = (text: string, at: number) => boolean;

/**
 * Returns the cuts that are safe for a tokenizer; undefined where none is known to be safe. An added token is never
 * cut, not even a special one whose spelling is text, so that those can be counted.
 * @param specialAreText whether special tokens that are spelled out in a text are left as text.
 */
export function safeCuts(file: TokenizerFile, specialAreText: boolean): SafeCut | undefined {
  const all = addedTokensOf(file);
  const active = specialAreText ? all.filter(token => !token.special) : all;
  // these take white space around them, or look at what stands beside them
  if (active.some(token => token.lstrip || token.rstrip || token.single_word)) return undefined;
  const { model } = file;
  const isPlain =
    model.type === 'BPE' && !model.dropout && !model.continuing_subword_prefix && !model.end_of_word_suffix;
  if (!isPlain || fusesUnknown(file)) return undefined;
  const inside = pairsInside(all);
  const ofPattern = cutsOfPattern(file, inside);
  if (ofPattern) return ofPattern;
  // a prefix stands before the text and behind every added token within it, which a piece could not tell
  return active.length > 0 && hasTextPrefix(file) ? undefined : cutsOfMerges(file, inside);
}

/** Whether unknown characters that follow each other become one token, so that a cut between them makes two. */
function fusesUnknown(file: TokenizerFile): boolean {
  const { unk_token, fuse_unk, byte_fallback } = file.model;
  if (!unk_token || !fuse_unk) return false;
  return !byte_fallback || !hasEveryByte(file);
}

/**
 * DeepSeek's first two patterns: they split off digits and East Asian writing, and leave the rest to a pattern above.
 */
const FIRST_PATTERNS: ReadonlySet<unknown> = new Set([String.raw`\p{N}{1,3}`, '[一-龥぀-ゟ゠-ヿ]+']);

/**
 * Matches the two characters before a place and the one behind it, where all of these patterns begin a new part:
 * - at a space behind anything that is not white space,
 * - at a line end behind a letter or digit,
 * - at a letter or digit behind a single line end.
 *
 * No pattern looks further back, and none looks ahead except over white space, so that the parts on both sides are the
 * same with and without the cut. Nor does NFC combine or reorder characters across any of these places. NEL (U+0085) is
 * white space to these patterns, but not to JavaScript.
 */
const PART_BEGINS = /[^\s\u0085][ \t\u3000]$|[\p{L}\p{N}][\n\r]$|^[^\s\u0085]\n[\p{L}\p{N}]$/u;

/** Returns the cuts for a tokenizer whose merges stay within the parts of a known pattern. */
function cutsOfPattern(file: TokenizerFile, inside: ReadonlySet<string>): SafeCut | undefined {
  const steps = stepsOf(file.pre_tokenizer);
  const splits = steps.filter(({ type }) => type === 'Split');
  const patterns = splits.map(({ pattern }) => (pattern as { readonly Regex?: string } | undefined)?.Regex);
  const bytes = steps.find(({ type }) => type === 'ByteLevel');
  const isKnown =
    steps.every(({ type }) => ['Split', 'Digits', 'ByteLevel'].includes(type)) &&
    splits.every(({ behavior, invert }) => behavior === 'Isolated' && !invert) &&
    patterns.every(pattern => KNOWN_PATTERNS.has(pattern) || FIRST_PATTERNS.has(pattern)) &&
    bytes?.add_prefix_space === false &&
    (bytes.use_regex !== false || patterns.some(pattern => KNOWN_PATTERNS.has(pattern))) &&
    stepsOf(file.normalizer).every(({ type }) => type === 'NFC');
  if (!isKnown) return undefined;
  return (text, at) => PART_BEGINS.test(text.slice(at - 2, at + 1)) && !inside.has(text.slice(at - 1, at + 1));
}

/**
 * Returns the cuts for a tokenizer that merges over the whole text, such as one converted from SentencePiece. A token
 * lies over a cut only if a merge joins the two characters beside it. So the cut is safe where none does: before
 * blanks, mostly.
 */
function cutsOfMerges(file: TokenizerFile, inside: ReadonlySet<string>): SafeCut | undefined {
  const replacements = replacementsOf(file);
  if (!replacements || file.model.ignore_merges) return undefined;
  const joined = new Set<string>();
  for (const [left, right] of mergesOf(file)) joined.add(left.at(-1)! + right[0]!);
  const replaced = (unit: string) => replacements.get(unit) ?? unit;
  return (text, at) => {
    const [before, behind] = [text[at - 1]!, text[at]!];
    const isWithinPair = /[\udc00-\udfff]/.test(behind);
    return !isWithinPair && !inside.has(before + behind) && !joined.has(replaced(before) + replaced(behind));
  };
}

/** Returns the pairs of neighbouring characters within added tokens. */
function pairsInside(tokens: readonly AddedToken[]): Set<string> {
  const pairs = new Set<string>();
  for (const { content } of tokens) for (let i = 1; i < content.length; i++) pairs.add(content.slice(i - 1, i + 1));
  return pairs;
}
