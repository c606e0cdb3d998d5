/** The folder of a run: what is in it, and what a crash leaves there. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { checkpointFolder, listCheckpoints } from '../checkpoint/find.js';
import { movePath, removePath } from '../durable.js';
import { UserError } from '../errors.js';
import { recoverFolder } from '../files.js';
import { readJson } from '../input-files.js';
import { inWords, whyInvalid } from '../schema.js';
import { HEALTH_FILE } from './health.js';
import { type ResolvedRun, RUN_FORMAT, resolvedSchema } from './resolved.js';

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

/** Whether a run has steps left to do; one whose configuration cannot be read is left out. */
export function isUnfinished(run: string): boolean {
  const latest = listCheckpoints(run).at(-1);
  if (!latest) return false;
  try {
    const { data } = z.looseObject({ steps: z.number() }).safeParse(readJson(join(run, CONFIG)));
    return data !== undefined && latest.step < data.steps;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

/** Removes a run, and nothing else that its folder holds. */
export function removeRun(folder: string): void {
  for (const name of [CONFIG, METRICS, HEALTH_FILE, 'checkpoints']) removePath(join(folder, name));
}

/** Puts checkpoints in order after a crash: half of one that was being written goes, one that was replaced stays. */
export function mendCheckpoints(run: string): void {
  const folder = join(run, 'checkpoints');
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    if (name.endsWith('.partial')) removePath(join(folder, name));
  }
  for (const { step } of listCheckpoints(run)) recoverFolder(checkpointFolder(run, step));
}

/** Finds a checkpoint of a run by the name of its folder. @throws UserError when the run has none of that name. */
export function checkpointNamed(run: string, name: string): ReturnType<typeof listCheckpoints>[number] {
  const all = listCheckpoints(run);
  const found = all.find(({ folder }) => basename(folder) === name);
  if (found) return found;
  const names = all.map(({ folder }) => basename(folder)).join(', ');
  throw new UserError(`the run '${run}' has no checkpoint '${name}'; it has ${names || 'none'}`);
}

/** Moves checkpoints after `step` aside, from which the run does not go on. @returns where they are now. */
export function setAsideAfter(run: string, step: number): string[] {
  return listCheckpoints(run).flatMap(later => {
    if (later.step <= step) return [];
    const aside = `${later.folder}.set-aside`;
    removePath(aside);
    movePath(later.folder, aside);
    return [aside];
  });
}

/**
 * Reads a run's configuration.
 * @throws UserError when the folder holds no run, or its config.json is not one of a run.
 */
export function readRunConfig(folder: string): ResolvedRun {
  const path = join(folder, CONFIG);
  const json = readJson(path, `'${folder}' holds no run (it has no config.json)`);
  try {
    return resolvedSchema.parse(json, inWords);
  } catch (error) {
    throw new UserError(`'${path}' is not the configuration of a run (${RUN_FORMAT}): ${whyInvalid(error)}`);
  }
}
