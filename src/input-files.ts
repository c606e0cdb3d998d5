/**
 * Reads files that others made. Only regular files are read: a pipe or a device in the place of one would block, or
 * never end. What is wrong with a file is a UserError that names it.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats } from 'node:fs';
import { messageOf, UserError } from './errors.js';
import { systemReason } from './files.js';

/** The most bytes of a file that is read at once: what a string can hold. */
const MOST_BYTES = 2 ** 29 - 24;

/** The deepest nesting of arrays and objects in a JSON text; what walks over values recurses. */
const MOST_DEPTH = 200;

const noFile = (path: string): string => `there is no file '${path}'`;

/**
 * Opens a regular file to read.
 * @param missing what is said where there is no such file.
 * @throws UserError when there is none, it is something else, or it may not be read.
 */
export function openRegularFile(path: string, missing = noFile(path)): number {
  let descriptor: number;
  try {
    // without O_NONBLOCK, which Windows has not, opening a pipe waits for its writer
    descriptor = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    throw readError(path, error, missing);
  }
  try {
    refuseOther(path, fstatSync(descriptor));
  } catch (error) {
    closeSync(descriptor);
    throw error;
  }
  return descriptor;
}

/** Checks that a path is a regular file, for a reader that opens it itself. @throws UserError as `openRegularFile`. */
export function checkRegularFile(path: string, missing?: string): void {
  closeSync(openRegularFile(path, missing));
}

function refuseOther(path: string, stats: Stats): void {
  if (stats.isFile()) return;
  const kind = stats.isDirectory()
    ? 'a folder'
    : stats.isFIFO()
      ? 'a pipe'
      : stats.isSocket()
        ? 'a socket'
        : 'a device';
  throw new UserError(`'${path}' is ${kind}, and not a regular file; name a regular file`);
}

function readError(path: string, error: unknown, missing: string): UserError {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT' || code === 'ENOTDIR') return new UserError(missing);
  // a socket cannot even be opened
  const reason = code === 'ENXIO' ? 'it is not a regular file' : systemReason(error);
  return new UserError(`'${path}' cannot be read: ${reason}`);
}

/** Returns the bytes of a file. @throws UserError as `openRegularFile`, and when it is larger than a text can be. */
export function readBytes(path: string, missing?: string): Buffer {
  const descriptor = openRegularFile(path, missing);
  try {
    const { size } = fstatSync(descriptor);
    if (size > MOST_BYTES) {
      throw new UserError(`'${path}' has ${size} bytes; such a file is read at once, and has at most ${MOST_BYTES}`);
    }
    return readFileSync(descriptor);
  } catch (error) {
    throw error instanceof UserError ? error : new UserError(`'${path}' cannot be read: ${systemReason(error)}`);
  } finally {
    closeSync(descriptor);
  }
}

/** Returns the text of a file. @throws UserError as `readBytes`. */
export const readText = (path: string, missing?: string): string => readBytes(path, missing).toString('utf8');

/**
 * Returns the value in a JSON file.
 * @throws UserError as `readBytes`, and when the file is not JSON.
 */
export function readJson(path: string, missing?: string): unknown {
  const text = readText(path, missing);
  try {
    return parseJson(text);
  } catch (error) {
    throw new UserError(`'${path}' is not JSON: ${messageOf(error)}`);
  }
}

/**
 * Parses JSON as JSON.parse does: of a key that comes twice the last one counts, and `__proto__` is a key like others.
 * @throws SyntaxError in one line, also for a text that is nested too deeply.
 */
export function parseJson(text: string): unknown {
  if (isTooDeep(text)) throw new SyntaxError(`it is nested more than ${MOST_DEPTH} deep`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SyntaxError(messageOf(error).replaceAll(/\s+/g, ' ')); // the message quotes lines of the text
  }
}

/** Whether a JSON text is nested too deeply. Brackets within strings are text. */
function isTooDeep(text: string): boolean {
  if (!hasManyBrackets(text)) return false;
  let depth = 0;
  for (let at = 0; at < text.length && depth <= MOST_DEPTH; at++) {
    const character = text[at];
    if (character === '"') at = endOfString(text, at);
    else if (character === '[' || character === '{') depth++;
    else if (character === ']' || character === '}') depth--;
  }
  return depth > MOST_DEPTH;
}

/** Returns the place of the quote that closes the string whose opening one is at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
  return at;
}

/** Whether a text has more opening brackets than it may be deep; most texts have not, and this is fast. */
function hasManyBrackets(text: string): boolean {
  let count = 0;
  for (const bracket of ['[', '{']) {
    for (let at = text.indexOf(bracket); at >= 0; at = text.indexOf(bracket, at + 1)) {
      if (++count > MOST_DEPTH) return true;
    }
  }
  return false;
}
