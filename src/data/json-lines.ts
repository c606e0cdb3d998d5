/** Reads a .jsonl file: the object of each line, or the string in one field of each. */
import { messageOf, UserError } from '../errors.js';
import type { BadRow, BadRows } from './bad-rows.js';
import { parsePythonJson } from './json-numbers.js';
import { charactersOf, spansOf, type TextSpan } from './spans.js';
import { type OnRead, readText } from './text-stream.js';

/** The most characters of a line. A longer one is hardly one document, and near what a string can hold. */
const LONGEST_LINE = 2 ** 28;

/** An object and the line it stands on. */
export interface JsonLine {
  readonly value: Readonly<Record<string, unknown>>;
  readonly line: number;
}

/**
 * Yields the object of each line; blank lines are skipped. NaN and infinities are read as null.
 * @param onBad is told a line that is not a JSON object; by default that is an error.
 * @throws UserError naming that line, or when there is no line.
 */
export async function* readJsonObjects(
  path: string,
  onRead?: OnRead,
  onBad: (row: BadRow) => void = refuse,
): AsyncGenerator<JsonLine> {
  let lines = 0;
  let line = 0;
  for await (const text of readLines(path, onRead)) {
    line++;
    if (text.trim() === '') continue;
    lines++;
    const value = objectOf(text);
    if (typeof value === 'string') onBad({ file: path, unit: 'line', number: line, why: value });
    else yield { value, line };
  }
  if (lines === 0) throw new UserError(`'${path}' has only blank lines`);
}

const refuse = ({ file, number, why }: BadRow): never => {
  throw new UserError(`'${file}' line ${number} ${why}`);
};

/** The text of a line, and what of it is trained. */
export interface JsonText {
  readonly text: string;
  readonly spans?: readonly TextSpan[];
}

/**
 * Yields the text of each line; blank lines are skipped. With `spansField`, that field holds its spans.
 * @throws UserError when there is no line, and as `rows` does where one is not a JSON object, has no text in `field`,
 * or no spans.
 */
export async function* readJsonLines(
  path: string,
  field: string,
  rows: BadRows,
  onRead?: OnRead,
  spansField?: string,
): AsyncGenerator<JsonText> {
  for await (const { value, line } of readJsonObjects(path, onRead, row => rows.add(row))) {
    const own = (name: string) => (Object.hasOwn(value, name) ? value[name] : undefined);
    const text = own(field);
    if (typeof text === 'string') {
      const spans = spansField === undefined ? undefined : spansOf(own(spansField), charactersOf(text));
      if (typeof spans === 'string') {
        const given = JSON.stringify(own(spansField!))?.slice(0, 80) ?? 'missing';
        rows.add({
          file: path,
          unit: 'line',
          number: line,
          why: `has no spans in its field '${spansField}' (${given}): ${spans}`,
        });
      } else yield { text, ...(spans && { spans }) };
      continue;
    }
    const what = text === undefined ? 'has no' : 'has no text in its';
    const names = Object.keys(value).join(', ') || 'none';
    const why = `${what} field '${field}'; its fields: ${names}. Choose one with --field`;
    rows.add({ file: path, unit: 'line', number: line, why });
  }
}

async function* readLines(path: string, onRead?: OnRead): AsyncGenerator<string> {
  // parts are joined once a line is whole: to add each to a string that is searched again would be quadratic
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

/** Parses a line. @returns the object, or why the line is none. */
function objectOf(line: string): Record<string, unknown> | string {
  let value: unknown;
  try {
    value = parsePythonJson(line);
  } catch (error) {
    return `is not JSON: ${messageOf(error)}`;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'is not a JSON object';
  return value as Record<string, unknown>;
}
