// Text in several languages out of Debian's packages.
//
//   node tools/help-text.mjs --out runs/text                     en, fr, ru and zh: about 3 to 4.5 MB each
//   node tools/help-text.mjs --out runs/text --languages hi,km   Hindi and Khmer, whose letters have marks
//   node tools/help-text.mjs --out runs/long --all               en, de, fr, ru and zh: 18, 14, 13, 8 and 3.6 million
//                                                                characters, in about ten minutes
//   node tools/help-text.mjs --out runs/long --all --catalogues  the same with programs' messages: 24, 19, 17, 14 and
//                                                                5.5 million characters
//   node tools/help-text.mjs --out src/demo/text --languages en,fr --characters 2300000 --gzip    the project's sample
//
// By default it is the LibreOffice help (MPL-2.0): the paragraphs of the pages that all the languages have, so that the
// files are largely translations of each other. --all adds the GIMP's help, manual pages, GNOME's and KiCad's user
// documents and Debian's handbooks, in whatever each language has of them; licences/ then has their licences.
// --catalogues adds to these what programs say, out of their message catalogues.
//
// Needs apt-get and dpkg-deb (Debian and relatives) and downloads 3 MB a language, with --all about 450 MB, with
// --catalogues 150 MB more; where they are not to be had it says so and writes nothing.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync, gzipSync } from 'node:zlib';
import { cataloguePages } from './help-text/catalogues.mjs';
import { licenceOf, unpackPackage } from './help-text/debian.mjs';
import { CATALOGUES, CODES, LANGUAGES, LIBREOFFICE, OTHERS } from './help-text/sources.mjs';

const USUAL = 'en,fr,ru,zh';
/** Documents are pages of more characters than this. */
const SHORTEST = 200;

const { values } = parseArgs({
  options: {
    out: { type: 'string' },
    languages: { type: 'string' },
    all: { type: 'boolean', default: false },
    catalogues: { type: 'boolean', default: false },
    characters: { type: 'string', default: 'Infinity' },
    gzip: { type: 'boolean', default: false },
  },
});
const known = values.all ? LANGUAGES : Object.keys(LIBREOFFICE.packages);
const languages = (values.languages ?? (values.all ? LANGUAGES.join() : USUAL)).split(',');
const unknown = languages.find(language => !known.includes(language));
const isAlone = values.catalogues && !values.all;
if (values.out === undefined || unknown !== undefined || isAlone || !(Number(values.characters) > 0)) {
  const needsAll = isAlone ? '--catalogues adds to --all, and needs it\n' : '';
  const reason = unknown === undefined ? needsAll : `no language '${unknown}'; there are ${known.join(', ')}\n`;
  const options = '[--languages en,fr] [--all [--catalogues]] [--characters N] [--gzip]';
  console.error(`${reason}usage: node tools/help-text.mjs --out FOLDER ${options}`);
  process.exit(2);
}
const out = values.out;

/** The files below a folder, sorted; none if there is no such folder. */
const filesBelow = folder =>
  existsSync(folder) ? readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort() : [];

/** The pages of the LibreOffice help, by their path below text/. */
function libreOffice(root, language) {
  const folder = join(
    root,
    LIBREOFFICE.packages[language],
    'usr/share/libreoffice/help',
    LIBREOFFICE.folders[language],
    'text',
  );
  const files = filesBelow(folder).filter(file => file.endsWith('.html'));
  return new Map(files.map(file => [file, LIBREOFFICE.read(readFileSync(join(folder, file), 'utf8'))]));
}

/** The pages of a package in a language, by their path. */
function pagesOf(root, { name, read, isPage }) {
  const folder = join(root, name);
  const files = filesBelow(folder).filter(file => isPage(`/${file}`));
  const textOf = file => {
    const bytes = readFileSync(join(folder, file));
    return (file.endsWith('.gz') ? gunzipSync(bytes) : bytes).toString('utf8');
  };
  return new Map(files.map(file => [`${name}/${file}`, read(textOf(file))]));
}

/** A fixed order that mixes the subjects: by a hash of the path. */
function hash(text) {
  let h = 0x811c9dc5;
  for (const character of text) h = Math.imul(h ^ character.codePointAt(0), 0x01000193);
  h = Math.imul(h ^ (h >>> 15), 0x2c1b3c6d);
  return (h ^ (h >>> 13)) >>> 0;
}
const mixed = paths => [...paths].sort((a, b) => hash(a) - hash(b));

/** Pages as documents. A line is kept the first time it is met, and where it is in no other language's text. */
function documentsOf(pages, seen, foreign) {
  return mixed(pages.keys())
    .map(page => ({
      id: page.replace(/\.(html|page|gz)$/, ''),
      text: pages
        .get(page)
        .filter(line => !foreign.has(line) && !seen.has(line) && seen.add(line))
        .join('\n'),
    }))
    .filter(({ text }) => text.length > SHORTEST);
}

const NOTICE = versions => `# Text of the LibreOffice help

${Object.keys(versions).join(', ')}: the paragraphs of the LibreOffice help, from Debian's packages
${Object.values(versions)
  .map(({ name, version }) => `- ${name} ${version}`)
  .join('\n')}

One JSON line is one help page (\`id\`, its path; \`text\`, its paragraphs). Markup, navigation and lines met before were
dropped; the pages are those that every language has. \`tools/help-text.mjs\` made these files.

Copyright the LibreOffice contributors. The help is licensed under the Mozilla Public License 2.0,
<https://www.mozilla.org/MPL/2.0/>; these files stay under that licence.
`;

const NOTICE_OF_ALL = packages => `# Text of help, handbooks and manual pages

From Debian's packages. Each package's licences are as its copyright file names them; that file is licences/NAME.txt,
and what was made of the package stays under its licence.

| package | version | language | documents | characters | licences |
|---|---|---|---|---|---|
${packages
  .map(({ name, version, language, documents, characters, licences }) =>
    ['', name, version, language, documents, characters, licences.join(', ') || 'see its file', ''].join(' | ').trim(),
  )
  .join('\n')}

One JSON line is one page (\`id\`, its package and path; \`text\`, its paragraphs). Markup, navigation, lines met before
in the same language, and lines that the English text has too, were dropped. \`tools/help-text.mjs ${values.catalogues ? '--all --catalogues' : '--all'}\`
made these files.
`;

/** Downloads a package, or ends with the reason. @returns its version */
function fetchPackage(root, name) {
  try {
    return unpackPackage(root, name);
  } catch (error) {
    const { stderr, message } = /** @type {Error & { stderr?: Buffer }} */ (error);
    const why = (stderr?.toString() || message).trim();
    console.error(`skipped, nothing written: Debian's package ${name} can't be had here: ${why}`);
    console.error("on Debian or a relative, 'apt-get update' may help; elsewhere give the commands your own text");
    rmSync(root, { recursive: true, force: true });
    process.exit(0);
  }
}

/** Writes the documents of a language up to the characters that are wanted. @returns the number of characters */
function writeLanguage(language, documents, from) {
  let characters = 0;
  const kept = documents.filter(({ text }) => {
    characters += text.length;
    return characters <= Number(values.characters);
  });
  const lines = kept.map(document => `${JSON.stringify(document)}\n`).join('');
  const file = join(out, `${language}.jsonl${values.gzip ? '.gz' : ''}`);
  writeFileSync(file, values.gzip ? gzipSync(lines, { level: 9 }) : lines);
  console.log(`${file}: ${kept.length} documents, ${lines.length} characters, from ${from}`);
}

function writeHelp(root) {
  const versions = {};
  const pages = {};
  for (const language of languages) {
    const name = LIBREOFFICE.packages[language];
    versions[language] = { name, version: fetchPackage(root, name) };
    pages[language] = libreOffice(root, language);
  }
  const isShared = page => languages.every(language => pages[language].has(page));
  mkdirSync(out, { recursive: true });
  for (const language of languages) {
    const shared = new Map([...pages[language]].filter(([page]) => isShared(page)));
    writeLanguage(language, documentsOf(shared, new Set(), new Set()), versions[language].version);
  }
  writeFileSync(join(out, 'NOTICE.md'), NOTICE(versions));
}

function writeAll(root) {
  const sources = [
    ...languages.map(language => ({
      name: LIBREOFFICE.packages[language],
      language,
      pages: () => libreOffice(root, language),
    })),
    ...OTHERS.map(source => ({ ...source, pages: () => pagesOf(root, source) })),
    ...(values.catalogues ? CATALOGUES : []).flatMap(name =>
      LANGUAGES.map(language => ({ name, language, pages: () => cataloguePages(root, name, language, CODES) })),
    ),
  ].filter(({ language }) => languages.includes(language));
  const versions = new Map();
  for (const { name } of sources) if (!versions.has(name)) versions.set(name, fetchPackage(root, name));
  mkdirSync(join(out, 'licences'), { recursive: true });
  const packages = [];
  const english = new Set();
  // English comes first: what other languages have of its lines was not translated
  for (const language of [...languages].sort((a, b) => Number(b === 'en') - Number(a === 'en'))) {
    const seen = language === 'en' ? english : new Set();
    const documents = sources
      .filter(source => source.language === language)
      .flatMap(({ name, pages }) => {
        const own = documentsOf(pages(), seen, language === 'en' ? new Set() : english);
        const { names, text } = licenceOf(root, name);
        if (text !== '') writeFileSync(join(out, 'licences', `${name}.txt`), text);
        const characters = own.reduce((sum, { text }) => sum + text.length, 0);
        packages.push({
          name,
          version: versions.get(name),
          language,
          documents: own.length,
          characters,
          licences: names,
        });
        return own;
      })
      .sort((a, b) => hash(a.id) - hash(b.id));
    writeLanguage(language, documents, `${sources.filter(source => source.language === language).length} packages`);
  }
  writeFileSync(join(out, 'NOTICE.md'), NOTICE_OF_ALL(packages));
}

const root = mkdtempSync(join(tmpdir(), 'help-text-'));
try {
  if (values.all) writeAll(root);
  else writeHelp(root);
} finally {
  rmSync(root, { recursive: true, force: true });
}
