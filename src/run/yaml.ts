/** Reads YAML files of fields: configurations of runs, and study files. */
import { LineCounter, parseDocument } from 'yaml';
import { messageOf, UserError } from '../errors.js';
import { readText } from '../input-files.js';

/** The most characters of a file, and the most lines and commas: a parser's time grows with their square. */
const MOST_CHARACTERS = 2 ** 20;
const MOST_ENTRIES = 10_000;
/** The most values that aliases may stand for. */
const MOST_ALIASES = 100;

/**
 * Reads a YAML file of fields.
 * @throws UserError naming the file, and the line that is not YAML; also for what no such file needs: more than 2^20
 * characters, 10,000 lines and commas, or 100 values through aliases, or nesting that the parser cannot follow.
 */
export function readYaml(path: string): Record<string, unknown> {
  const text = readText(path, `there is no config file '${path}'`);
  checkSize(text, path);
  let value: unknown;
  try {
    // at this level the parser prints nothing; what it has to say is in the document
    const document = parseDocument(text, { lineCounter: new LineCounter(), logLevel: 'error' });
    const [problem] = [...document.errors, ...document.warnings];
    if (problem) throw problem;
    value = document.toJS({ maxAliasCount: MOST_ALIASES });
  } catch (error) {
    const [line] = messageOf(error).split('\n'); // an excerpt of the text follows
    throw new UserError(`'${path}': ${line!.replace(/:$/, '').slice(0, 200)}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new UserError(`'${path}' must be a list of 'field: value' lines`);
  }
  return value as Record<string, unknown>;
}

function checkSize(text: string, path: string): void {
  const entries = text.length > MOST_CHARACTERS ? 0 : (text.match(/[\n\r,]/g)?.length ?? 0);
  if (text.length <= MOST_CHARACTERS && entries <= MOST_ENTRIES) return;
  const found = entries > 0 ? `${entries} lines and commas` : `${text.length} characters`;
  throw new UserError(
    `'${path}' has ${found}; a file of fields has at most ${MOST_CHARACTERS} characters, and ${MOST_ENTRIES} lines ` +
      'and commas',
  );
}
