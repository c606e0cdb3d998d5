/** The marks around every document of a tokenizer's data: a token that ends it, and often one that begins it. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { readJson, readText } from '../input-files.js';
import { inWords, whyInvalid } from '../schema.js';
import { SEPARATOR } from './bpe-file.js';
import { addedTokensOf, entriesOf, idsBeforeText, parseTokenizerFile, type TokenizerFile } from './tokenizer-file.js';

export interface DocumentMarks {
  /** The id of the token that ends a document. */
  readonly separatorId: number;
  /** The ids that begin a document; empty for most tokenizers without a beginning-of-sequence token. */
  readonly startIds: readonly number[];
}

/** Reads the marks of the tokenizer at a path, as `TextTokenizer.load` does. @throws UserError when there is none. */
export function readDocumentMarks(path: string): DocumentMarks {
  return documentMarks(parseTokenizerFile(readText(path), path), readNeighbours(path));
}

/** The settings that decide the marks, beside the file itself. */
export interface MarkOptions {
  /** The token that ends a document, as the file spells it. */
  readonly separator?: string | undefined;
  /** Whether documents begin with the tokenizer's beginning-of-sequence token; by default the tokenizer itself says. */
  readonly bos?: boolean | undefined;
}

/** The names that models have given to the token that ends a document. */
const SEPARATORS = [SEPARATOR, '</s>', '<|end_of_text|>', '<eos>', '[SEP]'];
/**
 * The name of the token that is taken if none of these is there: a special token, for instance `<｜end▁of▁sentence｜>`.
 */
const SEPARATOR_NAME = /\beos\b|end.?of.?(text|sentence|document|sequence)/i;
/** The name of the last choice: a token that begins a document, and so ends the one before it. */
const START_NAME = /\bbos\b|^<s>$|begin.?of.?(text|sentence|document|sequence)|startoftext/i;

const ids = z.union([z.int().nonnegative(), z.array(z.int().nonnegative())]).nullish();
const named = z.union([z.string(), z.looseObject({ content: z.string() })]).nullish();
const modelFile = z.looseObject({ eos_token_id: ids, bos_token_id: ids });
const tokenizerConfig = z.looseObject({ eos_token: named, bos_token: named, add_bos_token: z.boolean().nullish() });

/** What the files beside a tokenizer.json say of its special tokens. */
export interface Neighbours {
  readonly eosId?: number | undefined;
  readonly bosId?: number | undefined;
  readonly eosToken?: string | undefined;
  readonly bosToken?: string | undefined;
  readonly addBosToken?: boolean | undefined;
}

/** Reads the files beside a tokenizer.json. @throws UserError when one of them is not what it should be. */
export function readNeighbours(tokenizerPath: string): Neighbours {
  const folder = dirname(tokenizerPath);
  const config = readIf(join(folder, 'config.json'), modelFile);
  const generation = readIf(join(folder, 'generation_config.json'), modelFile);
  const tokenizer = readIf(join(folder, 'tokenizer_config.json'), tokenizerConfig);
  const first = (value: z.infer<typeof ids>) => (Array.isArray(value) ? value[0] : (value ?? undefined));
  const text = (value: z.infer<typeof named>) => (typeof value === 'string' ? value : value?.content);
  return {
    eosId: first(config?.eos_token_id) ?? first(generation?.eos_token_id),
    bosId: first(config?.bos_token_id) ?? first(generation?.bos_token_id),
    eosToken: text(tokenizer?.eos_token),
    bosToken: text(tokenizer?.bos_token),
    addBosToken: tokenizer?.add_bos_token ?? undefined,
  };
}

function readIf<Schema extends z.ZodType>(path: string, schema: Schema): z.infer<Schema> | undefined {
  if (!existsSync(path)) return undefined;
  const parsed = schema.safeParse(readJson(path), inWords);
  if (parsed.success) return parsed.data;
  throw new UserError(`'${path}': ${whyInvalid(parsed.error, 'file')}`);
}

/**
 * Returns the marks of a tokenizer's documents. The separator is the first of these that there is:
 * - the token that is asked for,
 * - `eos_token_id` of config.json or generation_config.json (of a list the first),
 * - `eos_token` of tokenizer_config.json,
 * - a token of a usual name.
 *
 * Documents begin with what the file's post-processor puts before a text, unless `add_bos_token` says otherwise.
 * @throws UserError when a token that is asked for is none, or no token can end a document.
 */
export function documentMarks(
  file: TokenizerFile,
  neighbours: Neighbours,
  { separator, bos }: MarkOptions = {},
): DocumentMarks {
  const ids = new Map(entriesOf(file));
  const all = new Set(ids.values());
  const known = (id: number | undefined) => (id !== undefined && all.has(id) ? id : undefined);
  const idOf = (token: string | undefined) => (token === undefined ? undefined : ids.get(token));
  const special = addedTokensOf(file).filter(token => token.special);
  const called = (name: RegExp) => special.find(({ content }) => name.test(content))?.id;

  let separatorId: number | undefined;
  if (separator !== undefined) {
    separatorId = idOf(separator);
    if (separatorId === undefined)
      throw new UserError(`the tokenizer has no token '${separator}' to end documents with`);
  } else {
    separatorId =
      known(neighbours.eosId) ??
      idOf(neighbours.eosToken) ??
      SEPARATORS.map(idOf).find(id => id !== undefined) ??
      called(SEPARATOR_NAME) ??
      called(START_NAME);
  }
  if (separatorId === undefined) {
    throw new UserError(
      `the tokenizer has none of the tokens that end a document (${SEPARATORS.join(' ')}); name one with --separator`,
    );
  }

  const before = idsBeforeText(file);
  const bosId = before[0] ?? idOf(neighbours.bosToken) ?? known(neighbours.bosId) ?? called(START_NAME);
  if (bos === true && bosId === undefined) {
    throw new UserError('the tokenizer has no token that begins a document; leave out --bos yes');
  }
  const starts = bos ?? neighbours.addBosToken ?? before.length > 0;
  const startIds = before.length > 0 ? before : bosId === undefined ? [] : [bosId];
  return { separatorId, startIds: starts ? startIds : [] };
}
