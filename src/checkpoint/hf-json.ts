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

/**
 * Returns the number of which each layer has the value `marked` in a list of all layers, and no other; undefined where
 * none has it. @throws UserError naming the first layer that is not as `why` says of the number.
 */
export function intervalOf<Value>(
  path: string,
  field: string,
  layers: readonly Value[],
  marked: Value,
  why: (interval: number) => string,
): number | undefined {
  const interval = layers.indexOf(marked) + 1;
  if (interval === 0) return undefined;
  const other = layers.findIndex((value, i) => (value === marked) !== ((i + 1) % interval === 0));
  return other < 0 ? interval : refuse(path, `${field}.${other}`, layers[other], why(interval));
}

/** Refuses a field. @throws UserError always. */
export function refuse(path: string, field: string, value: unknown, why: string): never {
  const shown = value === undefined ? 'missing' : JSON.stringify(value);
  throw new UserError(`'${path}': ${field} is ${shown}: ${why}`);
}
