/** From what a user names (files, folders, globs) to the text files that are there. */
import { statSync } from 'node:fs';
import { globSync, isDynamicPattern } from 'tinyglobby';
import { UserError } from '../errors.js';

/** .txt and .jsonl, each also .gz and .zst, and .parquet. */
const SUPPORTED = /\.(txt|jsonl)(\.(gz|zst))?$|\.parquet$/;
const SUPPORTED_TEXT = '.txt, .jsonl (each also .gz or .zst) and .parquet';

/**
 * Expands names into sorted file paths: files as they are, folders recursively, globs.
 * @throws UserError naming what does not exist, matches nothing, or is of a kind that cannot be read.
 */
export function findInputFiles(names: readonly string[]): string[] {
  if (names.length === 0) throw new UserError('no input files were named');
  const files = new Set<string>();
  for (const name of names) for (const file of expand(name)) files.add(file);
  return [...files].sort();
}

function expand(name: string): string[] {
  const stats = statSync(name, { throwIfNoEntry: false });
  if (stats?.isDirectory()) {
    const found = globSync('**/*', { cwd: name, absolute: true }).filter(file => SUPPORTED.test(file));
    if (found.length === 0) throw new UserError(`the folder '${name}' holds no ${SUPPORTED_TEXT}`);
    return found;
  }
  if (stats) {
    if (!SUPPORTED.test(name))
      throw new UserError(`'${name}' is not a kind of file that can be read: ${SUPPORTED_TEXT}`);
    return [name];
  }
  if (!isDynamicPattern(name)) throw new UserError(`there is no file or folder '${name}'`);
  const found = globSync(name, { absolute: true }).filter(file => SUPPORTED.test(file));
  if (found.length === 0) throw new UserError(`nothing that can be read matches '${name}' (${SUPPORTED_TEXT})`);
  return found;
}
