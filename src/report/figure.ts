/** A figure of a page: without the plotting library's types, for the package's declarations name it. */
export interface Figure {
  /** The name of the figure, and of its file. */
  readonly name: string;
  readonly svg: string;
  readonly caption: string;
}

/** How a plot is drawn: for a window, or for a phone, on which the wide one's text would be too small to read. */
export type Scale = 'wide' | 'narrow';

/** Returns a plain name for a file: the names of languages and sizes are the user's. */
export const fileName = (...parts: readonly (string | number)[]): string =>
  parts.map(part => String(part).replaceAll(/[^\w.-]+/g, '_')).join('-');
