/** Says in words what a schema has against a value. */
import { z } from 'zod';
import { messageOf } from './errors.js';

/**
 * Makes a schema say what is wrong in our words, where its message is shown: `schema.safeParse(value, inWords)`. Its
 * own messages stay.
 */
export const inWords = { error: wordsOf };

const TYPES: Readonly<Record<string, string>> = {
  number: 'a number',
  int: 'a whole number',
  string: 'text',
  boolean: 'true or false',
  array: 'a list',
  object: 'an object with fields',
  record: 'an object with fields',
  null: 'null',
};
const typeOf = (name: string): string => TYPES[name] ?? name;
const listed = (values: readonly unknown[]): string => values.map(value => JSON.stringify(value)).join(', ');

/** Says what a schema of zod wants. */
function wordsOf(issue: z.core.$ZodRawIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'it is needed' : `it must be ${typeOf(issue.expected)}`;
    case 'invalid_value':
      return `it must be ${issue.values.length > 1 ? 'one of ' : ''}${listed(issue.values)}`;
    case 'too_small':
      return boundWords(issue.origin, issue.minimum, issue.inclusive !== false, 'at least', 'above');
    case 'too_big':
      return boundWords(issue.origin, issue.maximum, issue.inclusive !== false, 'at most', 'below');
    case 'not_multiple_of':
      return `it must be a multiple of ${issue.divisor}`;
    case 'unrecognized_keys':
      return `there is no field ${listed(issue.keys)}`;
    case 'invalid_union':
      return 'it has none of the forms that are allowed here';
    case 'invalid_key':
      return 'it has a name that is not allowed';
    case 'invalid_element':
      return 'it has an entry that is not allowed';
    case 'invalid_format':
      return `it is not ${issue.format === 'regex' ? 'spelled as it must be' : `a valid ${issue.format}`}`;
    default:
      return 'it is not allowed';
  }
}

function boundWords(origin: string, bound: unknown, inclusive: boolean, reached: string, beyond: string): string {
  const limit = `${inclusive ? reached : beyond} ${bound}`;
  if (origin === 'string')
    return bound === 1 && reached === 'at least' ? 'it must not be empty' : `it must have ${limit} characters`;
  if (origin === 'array' || origin === 'set') {
    return bound === 1 && reached === 'at least' ? 'it must not be empty' : `it must have ${limit} entries`;
  }
  return `it must be ${limit}`;
}

/**
 * Explains a fault in reading and checking JSON: the first field that is not as it should be, and why; if there is no
 * such field, the error's message. `whole` names the value itself, where the fault is in no field.
 */
export function whyInvalid(error: unknown, whole?: string): string {
  if (!(error instanceof z.ZodError)) return messageOf(error);
  const { path, message } = error.issues[0]!;
  const field = path.join('.') || whole;
  return field ? `${field}: ${message}` : message;
}
