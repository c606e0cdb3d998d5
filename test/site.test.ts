/** The site of the documentation: its pages lead to each other, are found by their words, and are named in llms.txt. */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, posix } from 'node:path';
import { inflateSync } from 'node:zlib';
import { globSync } from 'tinyglobby';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { packageRoot } from '../src/files.js';
import { linksOf, pages } from '../tools/docs/links.mjs';

const site = mkdtempSync(join(tmpdir(), 'babelgrad-site-'));
afterAll(() => rmSync(site, { recursive: true, force: true }));
beforeAll(() => {
  execFileSync(process.execPath, ['tools/site.mjs', site], { cwd: packageRoot, stdio: 'pipe' });
}, 500_000);
const read = (file: string) => readFileSync(join(site, file), 'utf8');

/** Returns the links of a page of HTML that lead to no file, or to no place in it. */
function brokenIn(page: string): string[] {
  const targets = [...read(page).matchAll(/<(?:a|img|link|script)\b[^>]*? (?:href|src)="([^"]*)"/g)];
  return targets.flatMap(([, target]) => {
    if (/^([a-z]+:|$)/.test(target!)) return [];
    const [path = '', id] = target!.split('#').map(decodeURIComponent);
    const file = path === '' ? page : posix.join(page, '..', path);
    const broken = `${page}: ${target}`;
    if (!existsSync(join(site, file))) return [broken];
    return !id || !file.endsWith('.html') || file.endsWith('report.html') || read(file).includes(`id="${id}"`)
      ? []
      : [broken];
  });
}

test('every link of every page leads somewhere', () => {
  const html = globSync('**/*.html', { cwd: site, ignore: ['docs/**', 'media/**'] });
  expect(html.length).toBeGreaterThan(200);
  expect(html.flatMap(brokenIn)).toEqual([]);
});

test('README is the first page, docs are called by their headings, and words of both and of the reference are found', () => {
  expect(read('index.html')).toContain('trains LLaMA-architecture language models');
  const [, packed] = /window\.searchData = "([^"]*)"/.exec(read('assets/search.js'))!;
  const { rows, index } = JSON.parse(inflateSync(Buffer.from(packed!, 'base64')).toString());
  const names = (rows as { name: string }[]).map(({ name }) => name);
  expect(names).toEqual(expect.arrayContaining(['Scaling laws and plans', 'Platforms', 'openDevice', 'Trainer']));
  const words = JSON.stringify(index);
  for (const word of ['swiftshader', 'diloco', 'provenance']) expect(words).toContain(word);
});

test('llms.txt has a title, a summary, and each page as it was written, with what it is about', () => {
  const text = read('llms.txt');
  expect(text).toMatch(/^# babelgrad\n\n> [^\n]+\n\n[^#]+\n## Docs\n\n- \[babelgrad\]\(README\.md\): /);
  expect(text.split('\n').filter(line => /^##? /.test(line))).toEqual(['# babelgrad', '## Docs', '## Optional']);
  const files = linksOf('llms.txt', text).map(({ file }) => file);
  expect(files).toEqual(expect.arrayContaining(pages(packageRoot)));
  for (const file of files) expect(existsSync(join(site, file)), file).toBe(true);
  for (const line of text.split('\n').filter(line => line.startsWith('- ')))
    expect(line).toMatch(/^- \[.+\]\(.+\): .{15,}/);
});
