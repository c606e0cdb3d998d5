// Message catalogues of gettext (.mo files) as pages: what programs say, in the order of their English messages.
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { mo } from 'gettext-parser';

/** Whether a message is text, and no label or name. Chinese says as much with a third of the characters. */
const isText = (message, language) =>
  language === 'zh'
    ? message.length >= 15 && /\p{Script=Han}/u.test(message)
    : message.length >= 45 && message.includes(' ');
/** Messages follow each other in a page up to about as many characters. */
const PAGE = 4000;

const CONTEXT = '\u0004';

/** The paragraphs of a message, without markup and the letters of shortcuts. */
function paragraphsOf(message) {
  return message
    .replace(/<\/?[a-zA-Z][^<>]*>/g, '')
    .replace(/(?<![\p{L}\p{N}_&])[_&](?=\p{L})/gu, '')
    .split(/\n\s*\n/)
    .map(text => text.replace(/\s+/g, ' ').trim());
}

/** The messages of a catalogue: of its language, or with `en` the English ones that it translates. */
function messagesOf(bytes, language) {
  const { translations } = mo.parse(bytes);
  return Object.values(translations)
    .flatMap(Object.values)
    .filter(({ msgid, msgstr }) => msgid !== '' && msgstr[0])
    .map(({ msgid, msgstr }) => (language === 'en' ? msgid.split(CONTEXT).at(-1) : msgstr[0]));
}

/**
 * The pages of a package's catalogues in a language, by the catalogue's name and their number. English is what any of
 * the other languages' catalogues translates.
 * @param codes the folders' names of every language
 */
export function cataloguePages(root, name, language, codes) {
  const folder = join(root, name);
  const own = language === 'en' ? Object.values(codes).flat() : codes[language];
  const catalogues = new Map();
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' }).sort()) {
    const code = /locale\/([^/]+)\/LC_MESSAGES\/[^/]+\.mo$/.exec(file)?.[1];
    if (code === undefined || !own.includes(code)) continue;
    const domain = basename(file, '.mo');
    const paragraphs = catalogues.get(domain) ?? new Set();
    for (const message of messagesOf(readFileSync(join(folder, file)), language))
      for (const paragraph of paragraphsOf(message)) if (isText(paragraph, language)) paragraphs.add(paragraph);
    catalogues.set(domain, paragraphs);
  }
  const pages = new Map();
  for (const [domain, paragraphs] of catalogues) {
    const numbered = inPages([...paragraphs]).entries();
    for (const [i, page] of numbered) pages.set(`${name}/${domain}/${i + 1}`, page);
  }
  return pages;
}

function inPages(paragraphs) {
  /** @type {string[][]} */
  const pages = [];
  let page = [];
  let characters = PAGE;
  for (const paragraph of paragraphs) {
    if (characters >= PAGE) {
      page = [];
      pages.push(page);
      characters = 0;
    }
    page.push(paragraph);
    characters += paragraph.length;
  }
  return pages;
}
