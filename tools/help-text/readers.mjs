// From a page of help to its paragraphs: HTML, Mallard (GNOME's .page files) and manual pages.
import { DOMParser, parseHTML } from 'linkedom';

const tidy = text => text.replace(/\s+/g, ' ').trim();
const isParagraph = line => line.length > 1;

/** The paragraphs of a page of the LibreOffice help, without what is navigation. */
export function libreOfficePage(html) {
  const { document } = parseHTML(html);
  const content = document.querySelector('#DisplayArea');
  if (!content) return [];
  for (const element of content.querySelectorAll('script, style, .relatedtopics, .embedded, .howtoget'))
    element.remove();
  return [...content.querySelectorAll('h1, h2, h3, h4, h5, p, pre, td > span')]
    .map(element => tidy(element.textContent))
    .filter(isParagraph);
}

const BLOCKS = 'h1, h2, h3, h4, h5, h6, p, pre, li, dt, dd, td, th';
const NAVIGATION = 'script, style, nav, .navheader, .navfooter, .toc, .nav, .index, .navigation, .related, head';

/** The paragraphs of any page: the innermost blocks that have text. */
export function htmlPage(html) {
  const { document } = parseHTML(html);
  for (const element of document.querySelectorAll(NAVIGATION)) element.remove();
  return [...document.querySelectorAll(BLOCKS)]
    .filter(element => !element.querySelector(BLOCKS))
    .map(element => tidy(element.textContent))
    .filter(isParagraph);
}

/** The paragraphs of a page of Mallard. */
export function mallardPage(xml) {
  const document = new DOMParser().parseFromString(xml, 'text/xml');
  const own = new Set(['title', 'p', 'code', 'screen']);
  return [...document.querySelectorAll('title, p, code, screen')]
    .filter(element => !own.has(element.parentElement?.localName) && element.parentElement?.localName !== 'info')
    .map(element => tidy(element.textContent))
    .filter(isParagraph);
}

const CHARACTERS = {
  aq: "'",
  cq: "'",
  oq: "'",
  lq: '“',
  rq: '”',
  dq: '"',
  em: '—',
  en: '–',
  bu: '•',
  co: '©',
  ti: '~',
  ha: '^',
};

/** The text of a line of roff, without fonts, sizes and the like. */
const roffText = line =>
  line
    .replace(/\\f(\[[^\]]*\]|\(..|.)/g, '')
    .replace(/\\s[-+]?\d+/g, '')
    .replace(/\\\((..)|\\\[([^\]]*)\]/g, (_, two, name) => CHARACTERS[two ?? name] ?? '')
    .replace(/\\\*(\(..|\[[^\]]*\]|.)/g, '')
    .replace(/\\[&:%c|^/,{}]/g, '')
    .replace(/\\[~ 0]/g, ' ')
    .replace(/\\-/g, '-')
    .replace(/\\e/g, '\\');

const withoutQuotes = text => [...text.matchAll(/"((?:[^"]|"")*)"|(\S+)/g)].map(([, quoted, word]) => quoted ?? word);

const HEADINGS = /^(SH|SS)$/;
const BREAKS = /^(SH|SS|PP|P|LP|TP|HP|TQ|IP|RS|RE|br|sp)$/;
const FONTS = /^(B|I|SM|SB)$/;
const ALTERNATING = /^(BR|RB|IR|RI|BI|IB)$/;

/** The paragraphs of a manual page written with the macros of man(7); none of others, and of links to other pages. */
export function manualPage(roff) {
  if (/^\.(Dd|so)\b/m.test(roff)) return [];
  const paragraphs = [];
  let words = [];
  const end = () => {
    const text = tidy(words.join(' '));
    if (isParagraph(text)) paragraphs.push(text);
    words = [];
  };
  let isTable = false;
  for (const line of roff.split('\n')) {
    if (/^[.'] *\\"/.test(line)) continue;
    const [, macro, rest = ''] = /^[.'] *([A-Za-z]+) *(.*)$/.exec(line) ?? [];
    if (macro === 'TS' || macro === 'TE') isTable = macro === 'TS';
    if (isTable) continue;
    if (macro === undefined) {
      if (line.trim() === '') end();
      else words.push(roffText(line));
      continue;
    }
    const given = withoutQuotes(rest.replace(/\\".*$/, '')).map(roffText);
    if (BREAKS.test(macro)) end();
    if (HEADINGS.test(macro)) paragraphs.push(...[tidy(given.join(' '))].filter(isParagraph));
    else if (FONTS.test(macro)) words.push(given.join(' '));
    else if (ALTERNATING.test(macro)) words.push(given.join(''));
    else if (macro === 'IP') words.push(given[0] ?? '');
  }
  end();
  return paragraphs;
}
