/** The pages of README and docs, and the links between them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';

/** The pages, by their paths from the root; the README first. */
export const pages = root => [
  'README.md',
  ...['docs', '.'].flatMap(folder =>
    readdirSync(join(root, folder))
      .filter(name => name.endsWith('.md') && name !== 'README.md')
      .map(name => posix.join(folder, name))
      .sort(),
  ),
];

/** A page without blocks of code, comments and spans of code. */
const proseOf = text => text.replace(/^```.*?^```$|<!--.*?-->/gms, '').replaceAll(/`[^`\n]*`/g, 'code');

/** Returns the links and pictures of a page that are no addresses of the web: the file, and the heading or ''. */
export const linksOf = (page, text) =>
  [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, target]) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [path, heading = ''] = target.split('#');
    return [{ page, file: path === '' ? page : posix.join(page, '..', path), heading }];
  });

/** Returns all links of a page that lies below the root. */
export const readLinks = (root, page) => linksOf(page, readFileSync(join(root, page), 'utf8'));

/** Returns the names by which links know a page's headings. */
export const headingsOf = text =>
  [...text.replace(/^```.*?^```$/gms, '').matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    title
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
