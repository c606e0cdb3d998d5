/** The pages of a package's message catalogues, by their path: paragraphs. */
export function cataloguePages(
  root: string,
  name: string,
  language: string,
  codes: Readonly<Record<string, readonly string[]>>,
): Map<string, string[]>;
