/** The files that go along with a model's weights from folder to folder, as they are. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type DocumentMarks, readDocumentMarks } from '../data/document-marks.js';
import { idsBeforeText, parseTokenizerFile, tokenOfId } from '../data/tokenizer-file.js';
import { UserError } from '../errors.js';
import type { NewFolder } from '../files.js';
import { parseJson, readBytes, readText } from '../input-files.js';
import { readTokenIds, type TokenIds } from './hf-config.js';

/** The files that transformers and llama.cpp's converter look for beside tokenizer.json. */
const FILES = ['tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja', 'generation_config.json'];
/** The files that spell the vocabulary out once more. */
const VOCABULARY_FILES = ['added_tokens.json', 'vocab.json', 'merges.txt', 'tokenizer.model'];

export interface Companions {
  /** The contents by file name, without tokenizer.json. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly tokenIds: TokenIds;
}

/** Reads the companions of a model folder. @throws UserError when its config.json cannot be read. */
export function readCompanions(folder: string): Companions {
  return { files: readFiles(folder, [...FILES, ...VOCABULARY_FILES]), tokenIds: readTokenIds(folder) };
}

/** Reads the files that still hold where tokenizer.json gets more tokens. */
export function readCompanionsOfAnyVocabulary(folder: string): Companions['files'] {
  return readFiles(folder, FILES);
}

function readFiles(folder: string, names: readonly string[]): Companions['files'] {
  const there = names.filter(file => existsSync(join(folder, file)));
  return new Map(there.map(file => [file, readBytes(join(folder, file))]));
}

export function writeCompanionFiles(folder: NewFolder, files: Companions['files']): void {
  for (const [file, contents] of files) folder.write(file, contents);
}

/** The tokenizer_config.json of a tokenizer that has none; without it transformers would guess at its class. */
const PLAIN_CONFIG = { tokenizer_class: 'PreTrainedTokenizerFast', clean_up_tokenization_spaces: false };

/**
 * Returns companions that name the marks around documents, so that generating, scoring and further training go by the
 * data. The token that ends a document is `eos_token_id` (of a list the first), and `add_bos_token` says whether a
 * document begins with `bos_token_id`. A tokenizer_config.json that says so already keeps its bytes.
 * @throws UserError when there is a tokenizer_config.json that is no JSON object.
 */
export function withMarks(
  companions: Companions | undefined,
  tokenizerJson: string,
  { separatorId, startIds }: DocumentMarks,
): Companions {
  const { bos_token_id, eos_token_id, pad_token_id } = companions?.tokenIds ?? {};
  const ends = [separatorId, ...[eos_token_id ?? []].flat().filter(id => id !== separatorId)];
  const tokenIds = {
    bos_token_id: startIds[0] ?? bos_token_id ?? null,
    eos_token_id: ends.length === 1 ? separatorId : ends,
    pad_token_id: pad_token_id ?? null,
  };
  const files = companions?.files ?? new Map<string, Uint8Array>();
  const file = files.get('tokenizer_config.json');
  const given: Record<string, unknown> = file ? parseObject(file) : PLAIN_CONFIG;
  const starts = startIds.length > 0;
  const startsAlready = given.add_bos_token ?? idsBeforeText(parseTokenizerFile(tokenizerJson)).length > 0;
  if (file && startsAlready === starts) return { files, tokenIds };
  const config = {
    ...given,
    eos_token: given.eos_token ?? tokenOfId(tokenizerJson, separatorId),
    ...(starts && { bos_token: tokenOfId(tokenizerJson, startIds[0]!) }),
    add_bos_token: starts,
  };
  const bytes = Buffer.from(`${JSON.stringify(config, null, 2)}\n`);
  return { files: new Map([...files, ['tokenizer_config.json', bytes]]), tokenIds };
}

function parseObject(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = parseJson(Buffer.from(bytes).toString());
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // the error is thrown below
  }
  throw new UserError("the checkpoint's tokenizer_config.json is no JSON object; mend it, or remove it");
}

/** Says how the marks around a run's documents differ from its source model's, which then has to learn other ones. */
export function notesOfMarks(checkpoint: string, data: DocumentMarks): string[] {
  const path = join(checkpoint, 'tokenizer.json');
  if (!existsSync(path)) return [];
  const own = readDocumentMarks(path);
  const json = readText(path);
  const shown = (ids: readonly number[]) =>
    ids.map(id => `'${tokenOfId(json, id)}'`).join(' ') || 'nothing before them';
  const notes: string[] = [];
  if (own.startIds.join() !== data.startIds.join()) {
    const [model, text] = [shown(own.startIds), shown(data.startIds)];
    notes.push(
      `documents of the source model begin with ${model}, those of the data with ${text}; tokenize --bos decides it`,
    );
  }
  if (own.separatorId !== data.separatorId) {
    const [model, text] = [shown([own.separatorId]), shown([data.separatorId])];
    notes.push(
      `documents of the source model end with ${model}, those of the data with ${text}; ` +
        'tokenize --separator decides it',
    );
  }
  return notes;
}
