/** Checks everything below a path that has checksums: a run, a checkpoint, a model folder, a data set or a study. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { checkBase } from '../checkpoint/adapter-base.js';
import { averageFolder, listCheckpoints } from '../checkpoint/find.js';
import { checkModelFolder } from '../checkpoint/model-folder.js';
import { hasWeights, isAdapter } from '../checkpoint/weight-files.js';
import { latestWhole, layoutFaultOf } from '../checkpoint/whole.js';
import { showDamage, verifyFolder } from '../checksums.js';
import { TokenDataset } from '../data/shards.js';
import { UserError } from '../errors.js';
import { placeOfFolder } from '../files.js';
import { CONFIG, readRunConfig } from './folder.js';

export interface FolderCheck {
  readonly folder: string;
  readonly kind: 'checkpoint' | 'model' | 'data' | 'run';
  /** The number of files that were compared; undefined where there are no checksums, only a layout. */
  readonly files: number | undefined;
  readonly bytes: number;
  /** What is wrong, a sentence each. */
  readonly faults: readonly string[];
  /** The latest checkpoint of the run that is whole, where one is damaged. */
  readonly wholeCheckpoint?: string;
}

/**
 * Checks the folder `path` and those in it that are known.
 * @throws UserError when the folder is none that this program writes or reads.
 */
export async function* verifyPath(path: string): AsyncGenerator<FolderCheck> {
  const folder = placeOfFolder(path);
  if (existsSync(join(folder, 'index.json'))) yield await verifyOne(folder, 'data');
  else if (hasWeights(folder)) yield* await verifyModel(folder, kindOfModel(folder));
  else if (listCheckpoints(folder).length > 0) yield* verifyRun(folder);
  else if (existsSync(join(folder, 'study.json'))) yield* verifyRuns(join(folder, 'runs'));
  else {
    throw new UserError(
      `'${path}' is no run with checkpoints, checkpoint, model folder, data set or study: there is nothing to verify`,
    );
  }
}

const kindOfModel = (folder: string) => (existsSync(join(folder, 'optimizer.safetensors')) ? 'checkpoint' : 'model');

async function* verifyRuns(folder: string): AsyncGenerator<FolderCheck> {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder).sort()) {
    const run = join(folder, name);
    if (existsSync(join(run, CONFIG))) yield* verifyRun(run);
  }
}

async function* verifyRun(run: string): AsyncGenerator<FolderCheck> {
  const faults = faultsOf(() => readRunConfig(run));
  if (faults.length > 0) yield { folder: run, kind: 'run', files: undefined, bytes: 0, faults };
  const checks: FolderCheck[] = [];
  for (const { folder } of listCheckpoints(run)) checks.push(...(await verifyModel(folder, 'checkpoint')));
  const whole = checks.some(check => check.faults.length > 0) ? await latestWhole(run) : undefined;
  yield* checks.map((check, i) => (whole && i === checks.length - 1 ? { ...check, wholeCheckpoint: whole } : check));
}

/** Checks a model and, where a checkpoint has one, the average of its weights. */
async function verifyModel(folder: string, kind: 'checkpoint' | 'model'): Promise<FolderCheck[]> {
  const average = averageFolder(folder);
  const checks = [await verifyOne(folder, kind)];
  return hasWeights(average) ? [...checks, await verifyOne(average, 'model')] : checks;
}

async function verifyOne(folder: string, kind: FolderCheck['kind']): Promise<FolderCheck> {
  try {
    const checks = await verifyFolder(folder);
    const bad = (checks ?? []).filter(({ state }) => state !== 'good').map(check => showDamage(folder, check));
    const faults = bad.length > 0 ? bad : layoutFaults(folder, kind);
    if (faults.length === 0 && isAdapter(folder)) await checkBase(folder);
    const bytes = (checks ?? []).reduce((sum, check) => sum + check.bytes, 0);
    return { folder, kind, files: checks?.length, bytes, faults };
  } catch (error) {
    if (error instanceof UserError) return { folder, kind, files: undefined, bytes: 0, faults: [error.message] };
    throw error;
  }
}

/** Returns what is wrong with the layout of files, which is all that can be seen where there are no checksums. */
function layoutFaults(folder: string, kind: FolderCheck['kind']): string[] {
  if (kind === 'checkpoint') {
    const fault = layoutFaultOf(folder);
    return fault === undefined ? [] : [fault];
  }
  return faultsOf(() => (kind === 'data' ? TokenDataset.open(folder).close() : checkModelFolder(folder)));
}

function faultsOf(check: () => unknown): string[] {
  try {
    check();
    return [];
  } catch (error) {
    if (error instanceof UserError) return [error.message];
    throw error;
  }
}
