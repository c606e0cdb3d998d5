/** The shell blocks of README and docs, with their marks. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** The files in the order in which their blocks run: what the README makes is what the others take. */
export const files = root => [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter(file => file.endsWith('.md'))
    .sort()
    .map(file => `docs/${file}`),
];

export function blocksOf(root, file) {
  const text = readFileSync(join(root, file), 'utf8');
  const blocks = text.matchAll(/(?:^<!-- ([^\n]*) -->\n)?^```sh\n(.*?)^```$/gms);
  return [...blocks].map(({ 0: whole, 1: mark, 2: code, index }) => {
    const before = text.slice(0, index + whole.indexOf('```sh'));
    return { file, line: before.split('\n').length, mark, code: code ?? '' };
  });
}
