/** What pages are built of: sections, figures with views for windows and phones, tables. */
import type { Scale } from './figure.js';
import { colorOf } from './plots.js';
import { STYLE } from './style.js';

export const escapeHtml = (text: string): string =>
  text.replace(/[&<>"']/g, character => `&#${character.charCodeAt(0)};`);

/** A part of a page. */
export interface Section {
  readonly id: string;
  readonly title?: string;
  readonly html: string;
}

/** Says at the end of a page where it comes from. */
export const footerHtml = (made: string | undefined): string =>
  made === undefined ? '' : `\n<footer class="note">${escapeHtml(made)}</footer>`;

/** Returns links to the sections that have a title. */
export function contentsHtml(sections: readonly Section[]): string {
  const links = sections.flatMap(({ id, title }) =>
    title === undefined ? [] : [`<a href="#${id}">${escapeHtml(title)}</a>`],
  );
  return `<nav aria-label="Contents">${links.join('\n')}</nav>`;
}

export const sectionsHtml = (sections: readonly Section[]): string =>
  sections.map(section => `<section id="${section.id}">${sectionHtml(section)}</section>`).join('\n');

/** Returns what is inside a section's element. */
export const sectionHtml = ({ title, html }: Section): string =>
  title === undefined ? html : `<h2>${escapeHtml(title)}</h2>\n${html}`;

/** Returns a self-contained page in the report's style, with a script where one is given. */
export function htmlPage(title: string, body: string, script?: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>${escapeHtml(title)}</h1>
${body}${script === undefined ? '' : `\n<script>${script}</script>`}
</body>
</html>
`;
}

export const figure = (svg: string): string => `<figure>${svg}</figure>`;

/**
 * Returns a plot as windows show it and as phones do: with larger letters, and a key below it in the place of labels
 * at lines. A style shows one of them.
 */
export function atScales(draw: (scale: Scale) => string, names: readonly string[] = []): string {
  const keys = names.map((name, i) => key(i, name)).join(' ');
  return (
    `<div class="wide">${draw('wide')}</div>\n<div class="narrow">${draw('narrow')}` +
    `${keys && `<figcaption>${keys}</figcaption>`}</div>`
  );
}

/** Returns a figure that shows one of several views, by their names; `id` is its own on the page. */
export function switched(id: string, views: Readonly<Record<string, string | undefined>>): string {
  const names = Object.keys(views);
  const buttons = names.map((name, i) => {
    const button = `<input type="radio" name="${id}" id="${id}-${i}"${i === 0 ? ' checked' : ''}>`;
    return `${button}<label for="${id}-${i}">${escapeHtml(name)}</label>`;
  });
  const parts = names.map(name => `<div>${views[name]}</div>`);
  return `<figure class="switch">${buttons.join('\n')}\n${parts.join('\n')}</figure>`;
}

/** Returns a table that scrolls by itself where it is wider than the window; `name` is for those who hear the page. */
export const scrolled = (table: string, name: string): string =>
  `<div class="scroll" tabindex="0" role="region" aria-label="${escapeHtml(name)}">${table}</div>`;

/** Returns a table; cells of the body are HTML, those of the head are text. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: string, row: readonly string[]) => row.map(cell => `<${tag}>${cell}</${tag}>`).join('');
  const body = rows.map(row => `<tr>${cells('td', row)}</tr>`).join('\n');
  return `<table><thead><tr>${cells('th', head.map(escapeHtml))}</tr></thead><tbody>${body}</tbody></table>`;
}

export const key = (index: number, name: string): string =>
  `<span class="key" style="background:${colorOf(index)}"></span>${escapeHtml(name)}`;
