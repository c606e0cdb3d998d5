// One text in up to six languages, from the LibreOffice help in Debian's packages libreoffice-help-* (MPL-2.0): the
// paragraphs of the pages that all the languages have, so that the files are largely translations of each other.
//
//   node tools/help-text.mjs --out runs/text                     en, fr, ru and zh: about 3 to 4.5 MB each
//   node tools/help-text.mjs --out runs/text --languages hi,km   Hindi and Khmer, whose letters have marks
//   node tools/help-text.mjs --out src/demo/text --languages en,fr --characters 2300000 --gzip    the project's sample
//
// Needs apt-get and dpkg-deb (Debian and relatives) and downloads 3 MB a language; where they are not to be had it says
// so and writes nothing.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { parseHTML } from 'linkedom';

const PACKAGES = {
  en: { name: 'libreoffice-help-en-us', folder: 'en-US' },
  fr: { name: 'libreoffice-help-fr', folder: 'fr' },
  ru: { name: 'libreoffice-help-ru', folder: 'ru' },
  zh: { name: 'libreoffice-help-zh-cn', folder: 'zh-CN' },
  hi: { name: 'libreoffice-help-hi', folder: 'hi' },
  km: { name: 'libreoffice-help-km', folder: 'km' },
};
const USUAL = 'en,fr,ru,zh';

const BLOCKS = 'h1, h2, h3, h4, h5, p, pre, td > span';

/** The paragraphs of a page's content, one a line, without what is navigation. */
function pageText(html) {
  const { document } = parseHTML(html);
  const content = document.querySelector('#DisplayArea');
  if (!content) return [];
  for (const element of content.querySelectorAll('script, style, .relatedtopics, .embedded, .howtoget'))
    element.remove();
  return [...content.querySelectorAll(BLOCKS)]
    .map(element => element.textContent.replace(/\s+/g, ' ').trim())
    .filter(line => line.length > 1);
}

/** Pages by their path below text/. */
function readPages(root, language) {
  const { folder } = PACKAGES[language];
  const base = join(root, language, 'usr/share/libreoffice/help', folder, 'text');
  const files = readdirSync(base, { recursive: true, encoding: 'utf8' }).filter(file => file.endsWith('.html'));
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

const LICENCE = versions => `# Text of the LibreOffice help

${Object.keys(versions).join(', ')}: the paragraphs of the LibreOffice help, from Debian's packages
${Object.values(versions)
  .map(({ name, version }) => `- ${name} ${version}`)
  .join('\n')}

One JSON line is one help page (\`id\`, its path; \`text\`, its paragraphs). Markup, navigation and lines met before were
dropped; the pages are those that every language has. \`tools/help-text.mjs\` made these files.

Copyright the LibreOffice contributors. The help is licensed under the Mozilla Public License 2.0,
<https://www.mozilla.org/MPL/2.0/>; these files stay under that licence.
`;

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    languages: { type: 'string', default: USUAL },
    characters: { type: 'string', default: 'Infinity' },
    gzip: { type: 'boolean', default: false },
  },
});
const languages = values.languages.split(',');
const unknown = languages.find(language => !PACKAGES[language]);
if (values.out === undefined || unknown !== undefined || !(Number(values.characters) > 0)) {
  const reason =
    unknown === undefined ? '' : `no language '${unknown}'; there are ${Object.keys(PACKAGES).join(', ')}\n`;
  console.error(`${reason}usage: node tools/help-text.mjs --out FOLDER [--languages en,fr] [--characters N] [--gzip]`);
  process.exit(2);
}

/** Downloads and unpacks a language's package. @returns its version */
function unpack(root, language) {
  const { name } = PACKAGES[language];
  execFileSync('apt-get', ['download', '-qq', name], { cwd: root, stdio: ['ignore', 'ignore', 'pipe'] });
  const deb = readdirSync(root).find(file => file.startsWith(`${name}_`));
  if (!deb) throw new Error(`apt-get left no ${name}_*.deb`);
  execFileSync('dpkg-deb', ['-x', join(root, deb), join(root, language)]);
  return decodeURIComponent(deb).split('_')[1];
}

const root = mkdtempSync(join(tmpdir(), 'help-text-'));
try {
  const pages = {};
  const versions = {};
  for (const language of languages) {
    try {
      versions[language] = { name: PACKAGES[language].name, version: unpack(root, language) };
    } catch (error) {
      const { stderr, message } = /** @type {Error & { stderr?: Buffer }} */ (error);
      const why = (stderr?.toString() || message).trim();
      console.error(`skipped, nothing written: Debian's package ${PACKAGES[language].name} can't be had here: ${why}`);
      console.error("on Debian or a relative, 'apt-get update' may help; elsewhere give the commands your own text");
      process.exit(0);
    }
    pages[language] = readPages(root, language);
  }
  const shared = [...pages[languages[0]].keys()].filter(page => languages.every(language => pages[language].has(page)));
  const order = shared.sort((a, b) => hash(a) - hash(b));
  mkdirSync(values.out, { recursive: true });
  for (const language of languages) {
    const documents = withoutRepeats(pages[language], order).filter(({ text }) => text.length > 200);
    let characters = 0;
    const kept = documents.filter(({ text }) => {
      characters += text.length;
      return characters <= Number(values.characters);
    });
    const lines = kept.map(document => `${JSON.stringify(document)}\n`).join('');
    const file = join(values.out, `${language}.jsonl${values.gzip ? '.gz' : ''}`);
    writeFileSync(file, values.gzip ? gzipSync(lines, { level: 9 }) : lines);
    console.log(`${file}: ${kept.length} documents, ${lines.length} characters, from ${versions[language].version}`);
  }
  writeFileSync(join(values.out, 'NOTICE.md'), LICENCE(versions));
} finally {
  rmSync(root, { recursive: true, force: true });
}
