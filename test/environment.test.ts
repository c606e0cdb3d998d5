/** Every variable of the environment that src/ and bench/ read is in docs/environment.md, and no other. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../src/files.js';

const NAME = /^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$/;

/** `process.env.NAME`; where a name is computed, every string in the file that looks like one. */
function variablesOf(text: string): string[] {
  const named = [...text.matchAll(/process\.env\.(\w+)/g)].map(([, name]) => name!);
  if (!text.includes('process.env[')) return named;
  return [...named, ...[...text.matchAll(/'(\w+)'/g)].map(([, name]) => name!).filter(name => NAME.test(name))];
}

test('docs/environment.md has every variable that is read', () => {
  const read = new Set<string>();
  for (const folder of ['src', 'bench']) {
    for (const file of readdirSync(join(packageRoot, folder), { recursive: true }) as string[]) {
      if (!/\.(ts|mjs)$/.test(file) || file.includes('node_modules')) continue;
      for (const name of variablesOf(readFileSync(join(packageRoot, folder, file), 'utf8'))) read.add(name);
    }
  }
  const docs = readFileSync(join(packageRoot, 'docs/environment.md'), 'utf8');
  const rows = docs.split('\n').filter(line => /^\| `/.test(line));
  const documented = new Set(rows.flatMap(row => row.match(/[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+/g) ?? []));
  expect([...documented].sort()).toEqual([...read].sort());
});
