/** Checks names that come from files where they become paths: they stay within their folder. */
import { UserError } from './errors.js';

/** The most bytes of a name that common file systems take. */
const MOST_BYTES = 255;

/** Whether a name is that of a file in a folder, and of none outside it or hidden in it. */
export const isFileName = (name: string): boolean =>
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  name !== '' && !name.startsWith('.') && !/[/\\\u0000-\u001f]/.test(name) && Buffer.byteLength(name) <= MOST_BYTES;

/**
 * Returns a name that is about to become a path.
 * @throws UserError when it would lead out of its folder; `what` says whose name it is.
 */
export function checkedFileName(name: string, what: string): string {
  if (isFileName(name)) return name;
  throw new UserError(
    `${what} '${name}' cannot be the name of a file: take one without slashes, and without a dot at its beginning`,
  );
}
