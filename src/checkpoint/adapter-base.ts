/** The base of a LoRA adapter: where it is, and whether it is the one that the adapter was trained beside. */
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { sumOf } from '../checksums.js';
import { UserError } from '../errors.js';
import { parse, readObject } from './hf-json.js';
import { type BaseRecord, readTrainingState } from './training-record.js';
import { ADAPTER_CONFIG, hasWeights } from './weight-files.js';

/** Files of a checkpoint that are no weights. */
const OTHERS: readonly string[] = ['optimizer.safetensors', 'outer.safetensors'];
const baseSchema = z.looseObject({ base_model_name_or_path: z.string() });

/**
 * Returns the folder of an adapter's base: the one that adapter_config.json names, or where that is gone
 * BABELGRAD_BASE.
 * @throws UserError when neither is there.
 */
export function baseOf(adapter: string): string {
  const path = join(adapter, ADAPTER_CONFIG);
  const { base_model_name_or_path: named } = parse(path, baseSchema, readObject(path));
  const found = [named, process.env.BABELGRAD_BASE].find(folder => folder && hasWeights(folder));
  if (found) return found;
  throw new UserError(
    `'${adapter}' is an adapter of the model '${named}', which is not there; set BABELGRAD_BASE to its folder`,
  );
}

/** Returns the record of a base. It reads all of the weights. */
export async function recordOfBase(folder: string): Promise<BaseRecord> {
  const files = readdirSync(folder).filter(name => name.endsWith('.safetensors') && !OTHERS.includes(name));
  const weights: Record<string, string> = {};
  for (const file of files.sort()) weights[file] = await sumOf(join(folder, file));
  return { path: resolve(folder), weights };
}

/** Checks the weights of an adapter's base, where it has a record of them. @throws UserError when they are others. */
export async function checkBase(adapter: string): Promise<void> {
  const base = baseOf(adapter);
  if (!existsSync(join(adapter, 'training.json'))) return;
  const { base: record } = readTrainingState(adapter);
  if (!record) return;
  const { weights } = await recordOfBase(base);
  for (const file of new Set([...Object.keys(record.weights), ...Object.keys(weights)])) {
    if (weights[file] === record.weights[file]) continue;
    throw new UserError(
      `'${join(base, file)}' is not what the adapter '${adapter}' was trained beside (its SHA-256 is another): take ` +
        'the model as it was, or move this one away and set BABELGRAD_BASE to a copy of the right one',
    );
  }
}
