/** A link of a page to a file of the project, by their paths from the root; `heading` is as links spell it, or ''. */
export interface Link {
  readonly page: string;
  readonly file: string;
  readonly heading: string;
}
export function pages(root: string): string[];
export function linksOf(page: string, text: string): Link[];
export function readLinks(root: string, page: string): Link[];
export function headingsOf(text: string): string[];
