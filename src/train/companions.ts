/** What goes along with a model's weights from folder to folder, as it is. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileWhole } from '../files.js';
import { readTokenIds, type TokenIds } from './hf-config.js';

/** Files that transformers and llama.cpp's converter look for beside tokenizer.json. */
const FILES = ['tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja', 'generation_config.json'];
/** Those that spell the vocabulary out once more. */
const VOCABULARY_FILES = ['added_tokens.json', 'vocab.json', 'merges.txt', 'tokenizer.model'];

export interface Companions {
  /** Contents by file name, tokenizer.json not among them. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly tokenIds: TokenIds;
}

/** @throws UserError when the folder's config.json cannot be read. */
export function readCompanions(folder: string): Companions {
  return { files: readFiles(folder, [...FILES, ...VOCABULARY_FILES]), tokenIds: readTokenIds(folder) };
}

/** What still holds where tokenizer.json gets more tokens. */
export function readCompanionsOfAnyVocabulary(folder: string): Companions['files'] {
  return readFiles(folder, FILES);
}

function readFiles(folder: string, names: readonly string[]): Companions['files'] {
  const there = names.filter(file => existsSync(join(folder, file)));
  return new Map(there.map(file => [file, readFileSync(join(folder, file))]));
}

export function writeCompanionFiles(folder: string, files: Companions['files']): void {
  for (const [file, contents] of files) writeFileWhole(join(folder, file), contents);
}
