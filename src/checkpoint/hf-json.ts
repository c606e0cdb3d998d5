/**
 * Reads a JSON file of a model folder and checks it field by field: messages name the file, the field and its value.
 */
import type { z } from 'zod';
import { UserError } from '../errors.js';
import { readJson } from '../input-files.js';
import { inWords } from '../schema.js';

/** Reads a file. @throws UserError when it cannot be read or holds no JSON object. */
export function readObject(path: string): Record<string, unknown> {
  const missing = `there is no file '${path}'; a checkpoint folder holds config.json and model.safetensors`;
  const json = readJson(path, missing);
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw new UserError(`'${path}' is not a JSON object`);
  }
  return json as Record<string, unknown>;
}

/** Checks a file's fields. @throws UserError naming the first field that is not as the schema says. */
export function parse<Output>(path: string, schema: z.ZodType<Output>, json: Record<string, unknown>): Output {
  const parsed = schema.safeParse(json, inWords);
  if (parsed.success) return parsed.data;
  const { path: field, message } = parsed.error.issues[0]!;
  const value = field.reduce<unknown>((inner, key) => (inner as Record<PropertyKey, unknown>)?.[key], json);
  return refuse(path, field.join('.'), value, message);
}

/** Refuses a field. @throws UserError always. */
export function refuse(path: string, field: string, value: unknown, why: string): never {
  const shown = value === undefined ? 'missing' : JSON.stringify(value);
  throw new UserError(`'${path}': ${field} is ${shown}: ${why}`);
}
