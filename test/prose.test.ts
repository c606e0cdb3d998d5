/** Source and docs keep to one line width, and a doc comment says what the thing below it is. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { globSync } from 'tinyglobby';
import { expect, test } from 'vitest';
import { packageRoot } from '../src/files.js';

const WIDTH = 120;
const SOURCE = ['src/**/*.ts', 'kernels/**/*.wgsl'];
/** Tests and scripts, whose comments are held to the width, but not what they expect to be printed. */
const COMMENTED = ['bench/**/*.{ts,mjs}', 'test/**/*.{ts,mjs}', 'tools/*.mjs', 'docs/*.mjs', '!**/node_modules/**'];
const DOCS = ['README.md', 'docs/*.md'];
/** The words with which a comment begins that hangs on a sentence which is not there. */
const HANGS =
  /\/\*\*\s*\*?\s*(?:Of|By|In|With|Without|For|At|From|To|On|As|After|Before|Between|Over|Within|Beside|Among|Per)\b/g;

const textsOf = (patterns: readonly string[]): [file: string, text: string][] =>
  globSync(patterns, { cwd: packageRoot }).map(file => [file, readFileSync(join(packageRoot, file), 'utf8')]);

/** Returns the places of the lines that are too long; code blocks, tables, pictures and single links may be longer. */
function longLines([file, text]: [string, string]): string[] {
  const isProse = file.endsWith('.md');
  let isCode = false;
  return text.split('\n').flatMap((line, i) => {
    if (isProse && line.startsWith('```')) isCode = !isCode;
    const isFree = isProse && (isCode || /^\s*\||^!\[|^\s*\S+$/.test(line));
    return isFree || line.length <= WIDTH ? [] : [`${file}:${i + 1}`];
  });
}

/** Returns the places of the doc comments that begin with a preposition. */
const hangingComments = ([file, text]: [string, string]): string[] =>
  [...text.matchAll(HANGS)].map(({ index, 0: words }) => `${file}:${text.slice(0, index).split('\n').length} ${words}`);

/** The lines that are comments; the others are empty. */
const commentsOf = (text: string): string => text.replace(/^(?!\s*(?:\/\/|\/?\*)).*$/gm, '');

test('no line is wider than 120 characters', () => {
  const texts = textsOf([...SOURCE, ...DOCS]);
  expect(texts.length).toBeGreaterThan(100);
  const comments = textsOf(COMMENTED).map(([file, text]): [string, string] => [file, commentsOf(text)]);
  expect([...texts, ...comments].flatMap(longLines)).toEqual([]);
  expect(longLines(['a.ts', `// ${'a '.repeat(WIDTH)}`])).toEqual(['a.ts:1']);
  expect(longLines(['a.md', `| ${'a '.repeat(WIDTH)} |\n${'a '.repeat(WIDTH)}`])).toEqual(['a.md:2']);
});

test('no doc comment begins with a preposition', () => {
  expect(textsOf(SOURCE).flatMap(hangingComments)).toEqual([]);
  expect(hangingComments(['a.ts', 'x;\n/** Of the first run, by output. */'])).toHaveLength(1);
  expect(hangingComments(['a.ts', '/**\n   * By name. */'])).toHaveLength(1);
  expect(hangingComments(['a.ts', '/** The values that the first run left. */'])).toEqual([]);
});
