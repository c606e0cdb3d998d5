/** Where checkpoints lie in a run's folder, and which one a user means. */
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { placeOfFolder } from '../files.js';
import { readJson } from '../input-files.js';
import { checkLinks } from './links.js';
import { hasWeights, isAdapter } from './weight-files.js';

const FOLDER = /^step-(\d{8})$/;
const FOLDER_OR_REPLACED = /^step-(\d{8})(\.replaced)?$/;
export const checkpointFolder = (run: string, step: number): string =>
  join(run, 'checkpoints', `step-${String(step).padStart(8, '0')}`);

/** Returns where a checkpoint has the running average of its weights, a model folder, if its run keeps one. */
export const averageFolder = (checkpoint: string): string => join(checkpoint, 'average');

/** Whether a folder is named as a run's checkpoints are. */
export const isCheckpointFolder = (folder: string): boolean => FOLDER.test(basename(folder));

/** Returns the checkpoints of a run, by step. Those that are there are whole: a folder appears when it is complete. */
export function listCheckpoints(run: string): { readonly step: number; readonly folder: string }[] {
  const folder = join(run, 'checkpoints');
  if (!existsSync(folder)) return [];
  const steps = readdirSync(folder).flatMap(name => FOLDER_OR_REPLACED.exec(name)?.[1] ?? []);
  return [...new Set(steps)]
    .map(step => ({ step: Number(step), folder: placeOfFolder(join(folder, `step-${step}`)) }))
    .sort((a, b) => a.step - b.step);
}

/** The name, in a run's folder, of its best checkpoint, which its latest one knows. */
const BEST = 'best';

/** Returns the checkpoint that a path RUN/best stands for; undefined where the path is no such. */
function bestCheckpoint(path: string): string | undefined {
  if (basename(path) !== BEST || existsSync(path)) return undefined;
  const run = dirname(path);
  const latest = listCheckpoints(run).at(-1);
  if (!latest) return undefined;
  const record = z.object({ best: z.object({ step: z.int().nonnegative() }) });
  const { data } = record.safeParse(readJson(join(latest.folder, 'training.json')));
  if (!data) throw new UserError(`the run '${run}' keeps no best checkpoint; a run with keepBest does`);
  return checkpointFolder(run, data.best.step);
}

/** The names of weights in other formats. */
const OTHER_FORMATS = ['pytorch_model.bin', 'pytorch_model.bin.index.json', 'consolidated.00.pth'];

/**
 * Finds the model folder that a user means: a checkpoint or model folder itself, a run's latest checkpoint, or its best
 * one, `RUN/best`, where it keeps that.
 * @throws UserError when there is neither, or a link leads out of the model's folder.
 */
export function findModelFolder(path: string): string {
  const place = placeOfFolder(bestCheckpoint(path) ?? path);
  if (hasWeights(place)) {
    checkLinks(place);
    if (isAdapter(place) && !existsSync(join(place, 'config.json'))) {
      throw new UserError(
        `'${path}' is an adapter without its model's config.json; make one model of both with ` +
          `'babelgrad merge ${path} --base MODEL', or copy config.json and tokenizer.json of the model into it`,
      );
    }
    return place;
  }
  const latest = listCheckpoints(path).at(-1);
  if (latest) return latest.folder;
  const other = OTHER_FORMATS.find(file => existsSync(join(path, file)));
  if (other) throw new UserError(`'${path}' has ${other}, and only safetensors can be read; convert it`);
  const absent = existsSync(path) ? '' : '; there is no such folder (models of a hub are downloaded first)';
  throw new UserError(`'${path}' is neither a checkpoint (model.safetensors) nor a run with checkpoints${absent}`);
}
