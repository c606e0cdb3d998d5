/**
 * The job arrays of a study, as files. What is about to be submitted is written first: after a crash the queue is asked
 * for the array by its name, so that nothing is submitted twice.
 */
import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../errors.js';
import { removeFolderWhole, writeFileWhole } from '../../files.js';
import { readJson } from '../../input-files.js';
import { inWords, whyInvalid } from '../../schema.js';
import type { StudyPlan } from '../plan.js';
import { parseSlurm, type SlurmOptions } from './options.js';
import { RUNS_FILE } from './script.js';

const FORMAT = 'babelgrad submission 1';
const submissionSchema = z.object({
  format: z.literal(FORMAT),
  name: z.string(),
  created: z.iso.datetime(),
  /** The names of the runs, by the index of their tasks. */
  runs: z.array(z.string()).min(1),
  /** The job id of the array; it is missing until sbatch has told it. */
  job: z.int().positive().optional(),
  /** What sbatch is given. */
  options: z.array(z.string()),
});
export type Submission = Omit<z.infer<typeof submissionSchema>, 'format'>;

/** The folder of a study's arrays. */
export const submissionsFolder = (study: string): string => join(study, 'slurm');

/** The folder of an array. It is absolute, since jobs start elsewhere. */
export const submissionFolder = (study: string, name: string): string => resolve(submissionsFolder(study), name);

const optionsFile = (study: string): string => join(submissionsFolder(study), 'options.json');

/** Keeps what jobs ask for, for a study that is gone on with by its folder alone. */
export function writeOptions(study: string, options: SlurmOptions): void {
  writeFileWhole(optionsFile(study), `${JSON.stringify(options, null, 1)}\n`);
}

export function readOptions(study: string): SlurmOptions | undefined {
  const path = optionsFile(study);
  if (!existsSync(path)) return undefined;
  const { success, data, error } = z.record(z.string(), z.unknown()).safeParse(readJson(path), inWords);
  if (!success) throw new UserError(`'${path}' is not what jobs ask a cluster for: ${whyInvalid(error)}`);
  return parseSlurm(data, `'${path}'`);
}

const FILE = 'submission.json';
export const scriptOf = (study: string, name: string): string => join(submissionFolder(study, name), 'job.sh');

/** Returns a name that no other array has, in which a study's own is read by people who look at the queue. */
export const newName = ({ name }: StudyPlan): string =>
  `${name.replaceAll(/[^\w.-]+/g, '-').slice(0, 40)}-${randomBytes(4).toString('hex')}`;

/** Writes what an array is, before it is submitted; the file of the submission last, by which it is found. */
export function writeSubmission(study: string, submission: Submission, script: string): void {
  const folder = submissionFolder(study, submission.name);
  writeFileWhole(join(folder, RUNS_FILE), submission.runs.map(run => `${run}\n`).join(''));
  writeFileWhole(scriptOf(study, submission.name), script);
  updateSubmission(study, submission);
}

export function updateSubmission(study: string, submission: Submission): void {
  const path = join(submissionFolder(study, submission.name), FILE);
  writeFileWhole(path, `${JSON.stringify({ format: FORMAT, ...submission }, null, 1)}\n`);
}

/** Forgets an array that was never submitted. */
export function removeSubmission(study: string, { name }: Submission): void {
  removeFolderWhole(submissionFolder(study, name));
}

/** Returns the arrays of a study, the latest last. @throws UserError naming the file that is not what it should be. */
export function readSubmissions(study: string): Submission[] {
  const folder = submissionsFolder(study);
  if (!existsSync(folder)) return [];
  const files = readdirSync(folder)
    .map(name => join(folder, name, FILE))
    .filter(file => existsSync(file));
  return files.map(readSubmission).sort((a, b) => (a.created < b.created ? -1 : 1));
}

function readSubmission(path: string): Submission {
  const { success, data, error } = submissionSchema.safeParse(readJson(path), inWords);
  if (!success) throw new UserError(`'${path}' is not what was submitted to Slurm (${FORMAT}): ${whyInvalid(error)}`);
  const { format: _, ...submission } = data;
  return submission;
}
