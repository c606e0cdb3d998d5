/** The folder of a run: what is in it, and what a crash leaves there. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { listCheckpoints } from '../checkpoint/find.js';
import { UserError } from '../errors.js';
import { readJson } from '../input-files.js';
import { whyInvalid } from '../schema.js';
import { HEALTH_FILE } from './health.js';
import { type ResolvedRun, RUN_FORMAT, resolvedSchema } from './resolve.js';

export const CONFIG = 'config.json';
export const METRICS = 'metrics.jsonl';

/** Whether the folder holds a run, or what is left of one. */
export const holdsRun = (folder: string): boolean =>
  existsSync(join(folder, CONFIG)) || listCheckpoints(folder).length > 0;

/** Whether the folder holds a run that ended before its first checkpoint, with nothing that is worth keeping. */
export function isUnbegun(folder: string): boolean {
  if (!existsSync(join(folder, CONFIG)) || listCheckpoints(folder).length > 0) return false;
  readRunConfig(folder); // a run's folder, and no other that has such a file
  const metrics = join(folder, METRICS);
  return !existsSync(metrics) || !readFileSync(metrics, 'utf8').includes('"kind":"step"');
}

/** Removes a run, and nothing else that its folder holds. */
export function removeRun(folder: string): void {
  for (const name of [CONFIG, METRICS, HEALTH_FILE, 'checkpoints'])
    rmSync(join(folder, name), { recursive: true, force: true });
}

/** Removes what a crash left of a checkpoint that was being written. */
export function removePartialCheckpoints(run: string): void {
  const folder = join(run, 'checkpoints');
  for (const name of readdirSync(folder)) {
    if (name.endsWith('.partial')) rmSync(join(folder, name), { recursive: true });
  }
}

/**
 * Reads a run's configuration.
 * @throws UserError when the folder holds no run, or its config.json is not one of a run.
 */
export function readRunConfig(folder: string): ResolvedRun {
  const path = join(folder, CONFIG);
  const json = readJson(path, `'${folder}' holds no run (it has no config.json)`);
  try {
    return resolvedSchema.parse(json);
  } catch (error) {
    throw new UserError(`'${path}' is not the configuration of a run (${RUN_FORMAT}): ${whyInvalid(error)}`);
  }
}
