/** Reads JSON as Python's json.dumps writes it: with NaN, Infinity and -Infinity, which are no JSON. */
import { parseJson } from '../input-files.js';

/** Parses a text. @returns the value, with null for these numbers. @throws SyntaxError as `parseJson`. */
export function parsePythonJson(text: string): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    const mended = withoutNonFinite(text);
    if (mended === text) throw error;
    return parseJson(mended);
  }
}

const NON_FINITE = /NaN|-?Infinity/y;

/** Returns the text with null for every such number outside of a string. */
function withoutNonFinite(text: string): string {
  let mended = '';
  let taken = 0;
  for (let at = 0; at < text.length; ) {
    NON_FINITE.lastIndex = at;
    if (text[at] === '"') at = endOfString(text, at);
    else if (NON_FINITE.test(text)) {
      mended += `${text.slice(taken, at)}null`;
      taken = NON_FINITE.lastIndex;
      at = taken;
    } else at++;
  }
  return mended + text.slice(taken);
}

/**
 * Returns the place behind the string that begins at `start`. Its closing quote is the first one behind an even number
 * of backslashes.
 */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let escapes = 0;
    while (text[end - 1 - escapes] === '\\') escapes++;
    if (escapes % 2 === 0) return end + 1;
  }
  return text.length;
}
