/** Whether a model folder is whole, bit for bit where it has checksums; and of a run, which checkpoint is. */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CHECKSUMS, damageOf } from '../checksums.js';
import { UserError } from '../errors.js';
import { checkBase } from './adapter-base.js';
import { averageFolder, isCheckpointFolder, listCheckpoints } from './find.js';
import { checkModelFolder } from './model-folder.js';
import { SafetensorsFile } from './safetensors.js';
import { readTrainingState } from './training-record.js';
import { isAdapter } from './weight-files.js';

export const OPTIMIZER = 'optimizer.safetensors';

/**
 * Returns what is wrong with a checkpoint of a run: its files by their checksums, then their layout. It is undefined
 * where nothing is.
 */
export async function damageOfCheckpoint(checkpoint: string): Promise<string | undefined> {
  for (const folder of modelFoldersOf(checkpoint)) {
    const damage = await damageOf(folder);
    if (damage !== undefined) return damage;
  }
  return layoutFaultOf(checkpoint);
}

/** The folders of a checkpoint's models: its own and, where it has one, that of the average of its weights. */
function modelFoldersOf(checkpoint: string): string[] {
  const average = averageFolder(checkpoint);
  return existsSync(average) ? [checkpoint, average] : [checkpoint];
}

/** Returns what is wrong with the layout of a checkpoint's files, which can be seen without checksums. */
export function layoutFaultOf(checkpoint: string): string | undefined {
  try {
    for (const folder of modelFoldersOf(checkpoint)) checkModelFolder(folder);
    SafetensorsFile.open(join(checkpoint, OPTIMIZER)).close();
    readTrainingState(checkpoint);
    return undefined;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

/** Returns the latest checkpoint of a run that is whole, of those before `step` where it is given. */
export async function latestWhole(run: string, step = Infinity): Promise<string | undefined> {
  for (const earlier of listCheckpoints(run).reverse()) {
    if (earlier.step < step && (await damageOfCheckpoint(earlier.folder)) === undefined) return earlier.folder;
  }
  return undefined;
}

const OTHER_COPY = 'take another copy; if it was changed on purpose, --no-verify takes it as it is';

/**
 * Checks the files of a model by their checksums; the optimizer's moments only where they are `withMoments`.
 * @returns what the user should know: a checkpoint of a training here without checksums cannot be checked.
 * @throws UserError naming the file that is damaged, and the checkpoint of the same run that is whole.
 */
export async function checkModelFiles(folder: string, { withMoments = false } = {}): Promise<string[]> {
  const damage = await damageOf(folder, file => withMoments || file !== OPTIMIZER);
  if (damage === undefined) {
    if (isAdapter(folder)) await checkBase(folder);
    return notesOfChecksums(folder, 'training.json');
  }
  const step = Number(/\d+$/.exec(basename(folder))?.[0]);
  const whole = isCheckpointFolder(folder) ? await latestWhole(dirname(dirname(folder)), step) : undefined;
  throw new UserError(`${damage}; ${whole === undefined ? OTHER_COPY : `'${whole}' is whole`}`);
}

/** Says that a folder that was made here, as `mark` in it shows, cannot be checked: it has no checksums. */
export function notesOfChecksums(folder: string, mark: string): string[] {
  if (existsSync(join(folder, CHECKSUMS)) || !existsSync(join(folder, mark))) return [];
  return [`'${folder}' was written without checksums (${CHECKSUMS}): flipped bits in it would not be noticed`];
}
