/** Finds the text files that a user names by files, folders and globs. */
import { statSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { globSync, isDynamicPattern } from 'tinyglobby';
import { UserError } from '../errors.js';

/** The names of files that can be read: .txt and .jsonl, each also .gz and .zst, and .parquet. */
const SUPPORTED = /\.(txt|jsonl)(\.(gz|zst))?$|\.parquet$/;
const SUPPORTED_TEXT = '.txt, .jsonl (each also .gz or .zst) and .parquet';

/**
 * Expands names into sorted file paths: a file stays as it is, a folder gives its files recursively, a glob what it
 * matches. A file that is named in several ways (`a.txt .`) comes once.
 * @throws UserError naming what does not exist, matches nothing, or is of a kind that cannot be read.
 */
export function findInputFiles(names: readonly string[]): string[] {
  if (names.length === 0) throw new UserError('no input files were named');
  const files = new Map<string, string>();
  for (const name of names) {
    for (const file of expand(name)) if (!files.has(resolve(file))) files.set(resolve(file), file);
  }
  return [...files.values()].sort();
}

/** Returns the bytes of the files as they are stored: what a progress bar over `readDocuments` counts up to. */
export function sizeOfFiles(files: readonly string[]): number {
  return files.reduce((sum, file) => sum + statSync(file).size, 0);
}

/** Returns a glob in the library's spelling, in which `\\` escapes: Windows parts folders by it. */
export const globOf = (name: string): string => (process.platform === 'win32' ? name.replaceAll('\\', '/') : name);

function expand(name: string): string[] {
  const stats = statSync(name, { throwIfNoEntry: false });
  if (stats?.isDirectory()) {
    const found = globSync('**/*', { cwd: name }).filter(file => SUPPORTED.test(file));
    if (found.length === 0) throw new UserError(`the folder '${name}' holds no ${SUPPORTED_TEXT}`);
    return found.map(file => join(name, file));
  }
  if (stats) {
    if (!SUPPORTED.test(name))
      throw new UserError(`'${name}' is not a kind of file that can be read: ${SUPPORTED_TEXT}`);
    return [name];
  }
  const pattern = globOf(name);
  if (!isDynamicPattern(pattern)) throw new UserError(`there is no file or folder '${name}'`);
  const found = globSync(pattern, { absolute: isAbsolute(name) }).filter(file => SUPPORTED.test(file));
  if (found.length === 0) throw new UserError(`nothing that can be read matches '${name}' (${SUPPORTED_TEXT})`);
  return found;
}
