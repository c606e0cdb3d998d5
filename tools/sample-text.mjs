// Makes the text sample that ships with the project, src/demo/text/{en,fr}.jsonl.gz, from Debian's packages
// libreoffice-help-en-us and libreoffice-help-fr (MPL-2.0): the paragraphs of the help pages that both languages have.
//
//   node tools/sample-text.mjs            on Debian 12, with apt-get and dpkg; downloads 5 MB
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { parseHTML } from 'linkedom';

const PACKAGES = { en: ['libreoffice-help-en-us', 'en-US'], fr: ['libreoffice-help-fr', 'fr'] };
const MAX_CHARACTERS = 2_300_000; // of each language
const BLOCKS = 'h1, h2, h3, h4, h5, p, pre, td > span';

/** The paragraphs of a page's content, one a line, without what is navigation. */
function pageText(html) {
  const { document } = parseHTML(html);
  const content = document.querySelector('#DisplayArea');
  if (!content) return [];
  for (const element of content.querySelectorAll('script, style, .relatedtopics, .embedded, .howtoget')) element.remove();
  return [...content.querySelectorAll(BLOCKS)]
    .map(element => element.textContent.replace(/\s+/g, ' ').trim())
    .filter(line => line.length > 1);
}

/** Pages by their path below text/. */
function readPages(root, language) {
  const [, folder] = PACKAGES[language];
  const base = join(root, language, 'usr/share/libreoffice/help', folder, 'text');
  const files = readdirSync(base, { recursive: true }).filter(file => file.endsWith('.html'));
  return new Map(files.sort().map(file => [file, pageText(readFileSync(join(base, file), 'utf8'))]));
}

/** Keeps a line the first time it is met: help pages repeat themselves. */
function withoutRepeats(pages, order) {
  const seen = new Set();
  return order.map(page => ({
    id: page.replace(/\.html$/, ''),
    text: pages
      .get(page)
      .filter(line => !seen.has(line) && seen.add(line))
      .join('\n'),
  }));
}

/** A fixed order that mixes the subjects: by a hash of the path. */
function hash(text) {
  let h = 0x811c9dc5;
  for (const character of text) h = Math.imul(h ^ character.codePointAt(0), 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}

const root = mkdtempSync(join(tmpdir(), 'sample-text-'));
try {
  const pages = {};
  const versions = {};
  for (const [language, [name]] of Object.entries(PACKAGES)) {
    execFileSync('apt-get', ['download', '-qq', name], { cwd: root, stdio: ['ignore', 'ignore', 'ignore'] });
    const deb = readdirSync(root).find(file => file.startsWith(`${name}_`));
    mkdirSync(join(root, language));
    execFileSync('dpkg', ['-x', join(root, deb), join(root, language)]);
    versions[language] = decodeURIComponent(deb).split('_')[1];
    pages[language] = readPages(root, language);
  }
  const order = [...pages.en.keys()].filter(page => pages.fr.has(page)).sort((a, b) => hash(a) - hash(b));
  for (const language of Object.keys(PACKAGES)) {
    const documents = withoutRepeats(pages[language], order).filter(({ text }) => text.length > 200);
    let characters = 0;
    const kept = documents.filter(({ text }) => (characters += text.length) <= MAX_CHARACTERS);
    const lines = kept.map(document => `${JSON.stringify(document)}\n`).join('');
    const file = `src/demo/text/${language}.jsonl.gz`;
    writeFileSync(file, gzipSync(lines, { level: 9 }));
    console.log(`${file}: ${kept.length} documents, ${lines.length} characters, from ${versions[language]}`);
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
