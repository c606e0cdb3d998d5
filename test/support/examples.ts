/** The programs in the docstrings of src/, each after an `@example`. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/files.js';

export interface Example {
  /** Of what the docstring is about. */
  readonly name: string;
  readonly code: string;
}

/** @throws Error where an example is not at the end of the docstring of an export. */
export function examples(): Example[] {
  const folder = join(packageRoot, 'src');
  const files = (readdirSync(folder, { recursive: true }) as string[]).filter(file => file.endsWith('.ts'));
  return files.flatMap(file => {
    const text = readFileSync(join(folder, file), 'utf8');
    const found = [...text.matchAll(EXAMPLE)];
    const all = [...text.matchAll(/@example/g)].length;
    if (found.length !== all) throw new Error(`src/${file}: ${all} examples, of which ${found.length} can be read`);
    return found.map(([, code, name]) => ({ name: name!, code: code!.replace(/^ \* ?/gm, '') }));
  });
}

/** An example ends its docstring, behind which the declaration stands. */
const EXAMPLE = /^ \* @example\n((?: \*(?:| [^@\n].*)\n)+) \*\/\nexport (?:async )?\w+ (\w+)/gm;
