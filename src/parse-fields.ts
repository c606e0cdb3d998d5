/** Checks the fields of a file or of flags against a schema, and says which one is wrong, and which may be meant. */
import type { z } from 'zod';
import { UserError } from './errors.js';
import { inWords } from './schema.js';

/**
 * Checks fields against a strict schema. A number may be text with underscores, `20_000`, as YAML 1.2 reads it.
 * @throws UserError naming the field, what is wrong with it, and the field that was probably meant.
 */
export function parseWith<Output>(schema: z.ZodType<Output>, given: Record<string, unknown>, origin: string): Output {
  const asGiven = schema.safeParse(given, inWords);
  if (asGiven.success) return asGiven.data;
  const fields = withNumbers(given, asGiven.error.issues.flatMap(everyForm));
  const parsed = schema.safeParse(fields, inWords);
  if (parsed.success) return parsed.data;
  const issue = nearestForm(parsed.error.issues[0]!)[0]!;
  const field = issue.path.join('.');
  if (issue.code === 'unrecognized_keys') {
    const [key] = issue.keys as [string];
    const within = field ? ` in ${field}` : '';
    throw new UserError(`${origin}: unknown field '${key}'${within}; ${nearest(key, fieldsAt(schema, issue.path))}`);
  }
  const value = valueAt(fields, issue.path);
  const shown = value === undefined ? 'missing' : JSON.stringify(value);
  throw new UserError(`${origin}: field '${field}' is ${shown}: ${issue.message}`);
}

const valueAt = (fields: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce((value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key], fields);

/** Returns the names of the fields that there are at a place of a schema. */
function fieldsAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): string[] {
  const { def } = (schema as z.core.$ZodTypes)._zod;
  const [first, ...rest] = path;
  switch (def.type) {
    case 'object':
      return first === undefined ? Object.keys(def.shape) : fieldsAt(def.shape[first as string]!, rest);
    case 'array':
      return fieldsAt(def.element, rest);
    case 'record':
      return fieldsAt(def.valueType, rest);
    case 'optional':
    case 'nonoptional':
    case 'default':
      return fieldsAt(def.innerType, path);
    case 'pipe':
      return fieldsAt(def.in, path);
    case 'union':
      return def.options.flatMap(option => fieldsAt(option, path));
    default:
      return [];
  }
}

/** Returns the issues of a value with each form that it may have. */
function everyForm(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  return issue.errors.flat().flatMap(inner => everyForm({ ...inner, path: [...issue.path, ...inner.path] }));
}

/** Returns the issues of a value with the form that it comes nearest to, where it may have one of several. */
function nearestForm(issue: z.core.$ZodIssue): z.core.$ZodIssue[] {
  if (issue.code !== 'invalid_union') return [issue];
  const depthOf = (issues: readonly z.core.$ZodIssue[]) => Math.max(...issues.map(({ path }) => path.length));
  const [nearest = []] = [...issue.errors].sort((a, b) => depthOf(b) - depthOf(a));
  return nearest.flatMap(inner => nearestForm({ ...inner, path: [...issue.path, ...inner.path] }));
}

const UNDERSCORED = /^[-+]?\d+(_\d+)+(\.\d+)?(e[-+]?\d+)?$/i;

/** Returns a copy of the fields, with a number wherever one was expected and the text spells it with underscores. */
function withNumbers(given: Record<string, unknown>, issues: readonly z.core.$ZodIssue[]): Record<string, unknown> {
  const fields = structuredClone(given);
  for (const issue of issues) {
    const text = valueAt(fields, issue.path);
    if (issue.code !== 'invalid_type' || issue.expected !== 'number') continue;
    if (typeof text !== 'string' || !UNDERSCORED.test(text)) continue;
    const parent = valueAt(fields, issue.path.slice(0, -1)) as Record<PropertyKey, unknown>;
    parent[issue.path.at(-1)!] = Number(text.replaceAll('_', ''));
  }
  return fields;
}

function nearest(key: string, names: readonly string[]): string {
  const distances = names.map(name => editDistance(key.toLowerCase(), name.toLowerCase()));
  const best = Math.min(...distances);
  if (best <= 3) return `did you mean '${names[distances.indexOf(best)]}'?`;
  return `the fields are ${names.join(', ')}`;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
