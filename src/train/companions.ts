/** What goes along with a model's weights from folder to folder, though nothing here reads it. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileWhole } from '../files.js';
import { readTokenIds, type TokenIds } from './hf-config.js';

/** Files that transformers and llama.cpp's converter look for beside tokenizer.json. */
const FILES = [
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'tokenizer.model',
  'chat_template.jinja',
  'generation_config.json',
];

export interface Companions {
  /** Contents by file name, tokenizer.json not among them. */
  readonly files: ReadonlyMap<string, Uint8Array>;
  readonly tokenIds: TokenIds;
}

/** @throws UserError when the folder's config.json cannot be read. */
export function readCompanions(folder: string): Companions {
  const there = FILES.filter(file => existsSync(join(folder, file)));
  const files = new Map(there.map(file => [file, readFileSync(join(folder, file))]));
  return { files, tokenIds: readTokenIds(folder) };
}

export function writeCompanionFiles(folder: string, { files }: Companions): void {
  for (const [file, contents] of files) writeFileWhole(join(folder, file), contents);
}
