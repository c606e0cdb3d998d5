/** Checks names that come from files where they become paths: they stay within their folder. */

/** The most bytes of a name that common file systems take. */
const MOST_BYTES = 255;

/** Whether a name is that of a file in a folder, and of none outside it or hidden in it. */
export const isFileName = (name: string): boolean =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  name !== '' && !name.startsWith('.') && !/[/\\\u0000-\u001f]/.test(name) && Buffer.byteLength(name) <= MOST_BYTES;
