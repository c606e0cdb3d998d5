/** The objects of a .jsonl file, one a line, or the string in one field of each. */
import { messageOf, UserError } from '../errors.js';
import { type OnRead, readText } from './text-stream.js';

/** Characters of a line. A longer one is hardly one document, and near what a string can hold. */
const LONGEST_LINE = 2 ** 28;

/** An object and the line it stands on. */
export interface JsonLine {
  readonly value: Readonly<Record<string, unknown>>;
  readonly line: number;
}

/**
 * Yields the object of each line; blank lines are skipped.
 * @throws UserError naming the line that is not a JSON object, or when there is no line.
 */
export async function* readJsonObjects(path: string, onRead?: OnRead): AsyncGenerator<JsonLine> {
  let objects = 0;
  let line = 0;
  for await (const text of readLines(path, onRead)) {
    line++;
    if (text.trim() === '') continue;
    yield { value: objectOf(text, path, line), line };
    objects++;
  }
  if (objects === 0) throw new UserError(`'${path}' has only blank lines`);
}

/**
 * Yields the text of each line; blank lines are skipped.
 * @throws UserError naming the line that is not a JSON object or has no text in `field`, or when there is no line.
 */
export async function* readJsonLines(path: string, field: string, onRead?: OnRead): AsyncGenerator<string> {
  for await (const { value, line } of readJsonObjects(path, onRead)) {
    const text = Object.hasOwn(value, field) ? value[field] : undefined;
    if (typeof text !== 'string') {
      const what = text === undefined ? 'has no' : 'has no text in its';
      const names = Object.keys(value).join(', ') || 'none';
      throw new UserError(
        `'${path}' line ${line} ${what} field '${field}'; its fields: ${names}. Choose one with --field.`,
      );
    }
    yield text;
  }
}

async function* readLines(path: string, onRead?: OnRead): AsyncGenerator<string> {
  // parts are joined once a line is whole: adding each to a string that is searched again is quadratic
  let parts: string[] = [];
  let length = 0;
  let number = 1;
  for await (const chunk of readText(path, onRead)) {
    let start = 0;
    for (let end = chunk.indexOf('\n'); end >= 0; end = chunk.indexOf('\n', start)) {
      parts.push(chunk.slice(start, end));
      yield parts.join('');
      parts = [];
      length = 0;
      number++;
      start = end + 1;
    }
    parts.push(chunk.slice(start));
    length += chunk.length - start;
    if (length > LONGEST_LINE) {
      throw new UserError(
        `'${path}' line ${number} is longer than ${LONGEST_LINE} characters; each line must be one JSON object`,
      );
    }
  }
  yield parts.join('');
}

function objectOf(line: string, path: string, number: number): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (error) {
    throw new UserError(`'${path}' line ${number} is not JSON: ${messageOf(error)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError(`'${path}' line ${number} is not a JSON object`);
  }
  return value as Record<string, unknown>;
}
