/** Links of README and docs lead to files and headings that are there. */
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { packageRoot } from '../src/files.js';
import { headingsOf, type Link, linksOf, pages, readLinks } from '../tools/docs/links.mjs';

/** Returns what is wrong with a link, if anything is. */
function faultOf({ page, file, heading }: Link): string[] {
  const path = join(packageRoot, file);
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return [`${page}: no file ${file}`];
  if (heading === '' || headingsOf(readFileSync(path, 'utf8')).includes(heading)) return [];
  return [`${page}: no heading #${heading} in ${file}`];
}

test('every link leads to a file, and to a heading of it', () => {
  const links = pages(packageRoot).flatMap(page => readLinks(packageRoot, page));
  expect(links.length).toBeGreaterThan(150);
  expect(links.flatMap(faultOf)).toEqual([]);
});

test('a link to nothing, to a folder and to no heading is found', () => {
  const text = 'See [a](none.md), [b](study) and [c](api.md#none), not `[d](e)` or [f](https://example.org).';
  expect(linksOf('docs/api.md', text).flatMap(faultOf)).toEqual([
    'docs/api.md: no file docs/none.md',
    'docs/api.md: no file docs/study',
    'docs/api.md: no heading #none in docs/api.md',
  ]);
});
