/** Reads what a tokenizer.json of any kind says, without making a tokenizer of it, and makes variants of it. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { parseJson } from '../input-files.js';
import { ownValue } from '../own.js';
import { inWords, whyInvalid } from '../schema.js';

/** A step of a normalizer, pre-tokenizer or post-processor; a `Sequence` holds further ones. */
export interface Step {
  readonly type: string;
  readonly [field: string]: unknown;
}

const addedToken = z.looseObject({
  id: z.int().nonnegative(),
  content: z.string(),
  special: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  single_word: z.boolean().default(false),
});
export type AddedToken = z.infer<typeof addedToken>;

const someSteps = z.lazy((): z.ZodType => z.array(oneStep).nullish());
/** Each kind of step has a name of its own for what a Sequence of it holds. */
const oneStep: z.ZodType<Step> = z.looseObject({
  type: z.string(),
  normalizers: someSteps,
  pretokenizers: someSteps,
  processors: someSteps,
  /** A token and its id, which BERT's and RoBERTa's post-processors have. */
  cls: z.tuple([z.string(), z.int().nonnegative()]).optional(),
});
const step = oneStep.nullish();
/** What a TemplateProcessing puts around one text. */
const templateSchema = z.looseObject({
  single: z.array(z.looseObject({ SpecialToken: z.looseObject({ id: z.string() }).optional() })),
  special_tokens: z.record(z.string(), z.looseObject({ ids: z.array(z.int().nonnegative()) })),
});
const schema = z.looseObject({
  added_tokens: z.array(addedToken).nullish(),
  normalizer: step,
  pre_tokenizer: step,
  post_processor: step,
  model: z.looseObject({
    type: z.string().optional(),
    // BPE, WordPiece and WordLevel map tokens to ids; in Unigram the place in the list is the id. A record of zod's
    // would leave '__proto__' out.
    vocab: z.union([
      z.array(z.tuple([z.string(), z.number()])),
      z.custom<Readonly<Record<string, number>>>(
        value =>
          typeof value === 'object' &&
          value !== null &&
          !Array.isArray(value) &&
          Object.values(value).every(id => Number.isInteger(id) && id >= 0),
      ),
    ]),
    // files from before 2024 spell a merge 'left right'
    merges: z.array(z.union([z.string(), z.tuple([z.string(), z.string()])])).optional(),
  }),
});
export type TokenizerFile = z.infer<typeof schema>;

/** Parses a tokenizer.json. @throws UserError naming `path`, where it is given, when the text is none. */
export function parseTokenizerFile(json: string, path?: string): TokenizerFile {
  try {
    return schema.parse(parseJson(json));
  } catch {
    const what = path === undefined ? 'the text is' : `'${path}' is`;
    throw new UserError(`${what} not a tokenizer.json: it has no model with a vocab`);
  }
}

export const addedTokensOf = (file: TokenizerFile): readonly AddedToken[] => file.added_tokens ?? [];

export type Merge = readonly [left: string, right: string];

export function mergesOf({ model }: TokenizerFile): Merge[] {
  return (model.merges ?? []).map(merge =>
    typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge,
  );
}

/** Returns the steps that run one after another. */
export function stepsOf(root: TokenizerFile['normalizer']): readonly Step[] {
  if (!root) return [];
  if (root.type !== 'Sequence') return [root];
  const { normalizers, pretokenizers, processors } = root;
  return ((normalizers ?? pretokenizers ?? processors ?? []) as Step[]).flatMap(stepsOf);
}

/** Yields every entry with its id, added tokens included. */
export function* entriesOf(file: TokenizerFile): Generator<readonly [token: string, id: number]> {
  const { vocab } = file.model;
  if (Array.isArray(vocab)) for (const [id, [token]] of vocab.entries()) yield [token, id];
  else yield* Object.entries(vocab);
  for (const { id, content } of addedTokensOf(file)) yield [content, id];
}

/**
 * Returns the largest id that a model needs a row for, and its token. Special tokens need none but for `marks`: a Gemma
 * 3 without pictures has one of pictures behind its rows, which is in no text of its own.
 * @throws UserError naming `path`, where it is given, when the text is no tokenizer.json.
 */
export function largestNeededId(
  json: string,
  marks: readonly number[] = [],
  path?: string,
): { readonly id: number; readonly token: string } {
  const file = parseTokenizerFile(json, path);
  const special = new Set(
    addedTokensOf(file).flatMap(({ id, special }) => (special && !marks.includes(id) ? [id] : [])),
  );
  let largest = { id: -1, token: '' };
  for (const [token, id] of entriesOf(file)) if (id > largest.id && !special.has(id)) largest = { id, token };
  return largest;
}

/** Returns how the file spells an id; the last spelling counts, which is an added token's. */
export function tokenOfId(json: string, wanted: number): string | undefined {
  let found: string | undefined;
  for (const [token, id] of entriesOf(parseTokenizerFile(json))) if (id === wanted) found = token;
  return found;
}

/** Returns the ids that the file's post-processor puts before a text. */
export function idsBeforeText(file: TokenizerFile): readonly number[] {
  for (const each of stepsOf(file.post_processor)) {
    if (Array.isArray(each.cls)) return [each.cls[1] as number];
    if (each.type !== 'TemplateProcessing') continue;
    const { success, data, error } = templateSchema.safeParse(each, inWords);
    if (!success) throw new UserError(`the tokenizer's TemplateProcessing is none: ${whyInvalid(error)}`);
    const { single, special_tokens: tokens } = data;
    const text = single.findIndex(({ SpecialToken }) => SpecialToken === undefined);
    return single.slice(0, text).flatMap(({ SpecialToken }) => ownValue(tokens, SpecialToken!.id)?.ids ?? []);
  }
  return [];
}

/** The prefix of entries that no text may reach: four noncharacters, which are in no text that is interchanged. */
const UNREACHABLE = '\u{10ffff}'.repeat(4);

/**
 * Returns the file without its special tokens: one that is spelled out in a text is ordinary text. Its entry stays,
 * since others' ids go by places, but under a name that no text has.
 */
export function withoutSpecialTokens(json: string): string {
  const file = parseTokenizerFile(json);
  const special = new Set(addedTokensOf(file).flatMap(token => (token.special ? [token.content] : [])));
  if (special.size === 0) return json;
  const reachable = new Set([file.model.unk_token, ...mergesOf(file).map(merge => merge.join(''))]);
  const hidden = (token: string) => (special.has(token) && !reachable.has(token) ? UNREACHABLE + token : token);
  const { vocab } = file.model;
  const inModel = new Set(Array.isArray(vocab) ? vocab.map(([token]) => token) : Object.keys(vocab));
  const renamed = Array.isArray(vocab)
    ? vocab.map(([token, score]) => [hidden(token), score])
    : Object.fromEntries(Object.entries(vocab).map(([token, id]) => [hidden(token), id]));
  return JSON.stringify({
    ...file,
    added_tokens: addedTokensOf(file).flatMap(token => {
      if (!token.special) return [token];
      return inModel.has(token.content) ? [] : [{ ...token, content: UNREACHABLE + token.content }];
    }),
    model: { ...file.model, vocab: renamed },
  });
}

/**
 * Returns the single characters that are replaced before anything is merged; undefined where more is done to a text.
 */
export function replacementsOf({ normalizer, pre_tokenizer }: TokenizerFile): ReadonlyMap<string, string> | undefined {
  const replacements = new Map<string, string>();
  const replace = (from: unknown, to: unknown): boolean => {
    const isOne = (text: unknown): text is string => typeof text === 'string' && text.length === 1;
    if (!isOne(from) || !isOne(to) || replacements.has(to)) return false;
    replacements.set(from, to);
    return true;
  };
  const stringOf = ({ pattern }: Step) => (pattern as { readonly String?: string } | undefined)?.String;
  const isKnown =
    stepsOf(normalizer).every(
      step => step.type === 'Prepend' || (step.type === 'Replace' && replace(stringOf(step), step.content)),
    ) &&
    stepsOf(pre_tokenizer).every(step => {
      if (step.type === 'Metaspace') return replace(' ', step.replacement);
      // a character that is no longer in any text
      return step.type === 'Split' && replacements.has(stringOf(step) ?? '');
    });
  return isKnown ? replacements : undefined;
}

/** Whether every character has a token, or tokens for its bytes. */
export function hasEveryByte({ model: { vocab } }: TokenizerFile): boolean {
  const isKnown = (byte: number) =>
    `<0x${byte.toString(16).toUpperCase().padStart(2, '0')}>` in vocab ||
    (byte < 128 && String.fromCharCode(byte) in vocab);
  return Array.from({ length: 256 }, (_, byte) => byte).every(isKnown);
}

/** Whether the file puts something at the beginning of a text by itself. */
export function hasTextPrefix(file: TokenizerFile): boolean {
  const steps = [...stepsOf(file.normalizer), ...stepsOf(file.pre_tokenizer)];
  return steps.some(
    ({ type, prepend_scheme, add_prefix_space }) =>
      type === 'Prepend' ||
      (type === 'Metaspace' && (prepend_scheme ?? (add_prefix_space === false ? 'never' : 'always')) !== 'never') ||
      (type === 'ByteLevel' && add_prefix_space !== false),
  );
}

/**
 * Returns the file without what it puts at the beginning of a text by itself, a space mostly: for a text that goes on
 * with another.
 */
export function withoutTextPrefix(json: string): string {
  const file = parseTokenizerFile(json);
  const normalizers = stepsOf(file.normalizer).filter(({ type }) => type !== 'Prepend');
  const pretokenizers = stepsOf(file.pre_tokenizer).map(each => {
    if (each.type === 'Metaspace') return { ...each, add_prefix_space: false, prepend_scheme: 'never' };
    return each.type === 'ByteLevel' ? { ...each, add_prefix_space: false } : each;
  });
  return JSON.stringify({
    ...file,
    normalizer: normalizers.length > 0 ? { type: 'Sequence', normalizers } : null,
    pre_tokenizer: pretokenizers.length > 0 ? { type: 'Sequence', pretokenizers } : null,
  });
}
