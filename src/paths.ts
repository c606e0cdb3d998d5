/** Checks names that come from files where they become paths: they stay within their folder. */
import { UserError } from './errors.js';

/** The most bytes of a name that common file systems take. */
const MOST_BYTES = 255;

/**
 * The names that Windows takes for something else: devices, drives and streams of a file, and names that it would cut
 * off at their end.
 */
const OTHER_ON_WINDOWS = /^(con|prn|aux|nul|com\d|lpt\d)(\.|$)|[<>:"|?*]|[. ]$/i;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
const NO_LETTERS = /[/\\\u0000-\u001f]/;

/** Whether a name is that of a file in a folder, and of none outside it or hidden in it. */
export function isFileName(name: string): boolean {
  if (name === '' || name.startsWith('.') || NO_LETTERS.test(name) || Buffer.byteLength(name) > MOST_BYTES)
    return false;
  return process.platform !== 'win32' || !OTHER_ON_WINDOWS.test(name);
}

/**
 * Returns a name that is about to become a path.
 * @throws UserError when it would lead out of its folder, or is none; `what` says whose name it is.
 */
export function checkedFileName(name: string, what: string): string {
  if (isFileName(name)) return name;
  const taken = process.platform === 'win32' ? 'that Windows takes, ' : '';
  throw new UserError(
    `${what} '${name}' cannot be the name of a file: ` +
      `take one ${taken}without slashes, and without a dot at its beginning`,
  );
}
