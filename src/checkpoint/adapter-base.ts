/** The base of a LoRA adapter: where it is, and whether it is the one that the adapter was trained beside. */
import { existsSync } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { z } from 'zod';
import { readChecksums, sumOf } from '../checksums.js';
import { UserError } from '../errors.js';
import { parse, readObject } from './hf-json.js';
import { type BaseRecord, readTrainingState } from './training-record.js';
import { ADAPTER_CONFIG, hasWeights, isAdapter, weightFilesOf } from './weight-files.js';

const baseSchema = z.looseObject({ base_model_name_or_path: z.string() });

/**
 * Returns the folder of an adapter's base: the one that adapter_config.json names, or where that is gone one of
 * BABELGRAD_BASE, which may have several as PATH does.
 * @throws UserError when none is there.
 */
export function baseOf(adapter: string): string {
  const path = join(adapter, ADAPTER_CONFIG);
  const { base_model_name_or_path: named } = parse(path, baseSchema, readObject(path));
  const given = process.env.BABELGRAD_BASE?.split(delimiter).filter(Boolean) ?? [];
  const found = [named, ...given].find(folder => hasWeights(folder) && resolve(folder) !== resolve(adapter));
  if (found) return found;
  const tried = given.length > 0 ? `, nor is a model in BABELGRAD_BASE (${given.join(', ')})` : '';
  throw new UserError(
    `'${adapter}' is an adapter of the model '${named}', which is not there${tried}; set BABELGRAD_BASE to its folder`,
  );
}

/**
 * Returns the record of a base, and of what stands below one that is an adapter itself. It reads all weights, but those
 * that the checksums beside them are `known` to be of.
 */
export async function recordOfBase(folder: string, known = false): Promise<BaseRecord> {
  return { path: resolve(folder), weights: await sumsOf(folder, known) };
}

async function sumsOf(folder: string, known = false): Promise<Record<string, string>> {
  const files = [...weightFilesOf(folder), ...(isAdapter(folder) ? [ADAPTER_CONFIG] : [])];
  const checksums = known ? readChecksums(folder) : undefined;
  const sums: Record<string, string> = {};
  for (const file of files.sort()) sums[file] = checksums?.get(file) ?? (await sumOf(join(folder, file)));
  if (!isAdapter(folder)) return sums;
  const below = Object.entries(await sumsOf(baseOf(folder)));
  return { ...sums, ...Object.fromEntries(below.map(([file, sum]) => [`base of it: ${file}`, sum])) };
}

/**
 * Checks an adapter's base, by default its own, where the adapter has a record of it.
 * @throws UserError when it is another.
 */
export async function checkBase(adapter: string, base = baseOf(adapter)): Promise<void> {
  if (!existsSync(join(adapter, 'training.json'))) return;
  const { base: record } = readTrainingState(adapter);
  if (!record) return;
  const { weights } = await recordOfBase(base);
  for (const file of new Set([...Object.keys(record.weights), ...Object.keys(weights)])) {
    if (weights[file] === record.weights[file]) continue;
    throw new UserError(
      `'${base}' is not what the adapter '${adapter}' was trained beside ('${file}' is not there on one side, or its ` +
        'SHA-256 is another): take the model as it was, or move this one away and set BABELGRAD_BASE to a copy of ' +
        'the right one',
    );
  }
}
