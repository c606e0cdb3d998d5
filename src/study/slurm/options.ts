/** The section `slurm` of a study file: what a study's jobs ask a cluster for. */
import { z } from 'zod';
import { parseWith } from '../../parse-fields.js';

const line = z.string().regex(/^[^\p{Cc}]+$/u, 'must be one line of text');

/** The forms of a time that sbatch knows. */
const TIME = /^(\d+(:\d\d){0,2}|\d+-\d\d?(:\d\d){0,2})$/;
const TIME_FORMS = 'must be minutes, minutes:seconds, hours:minutes:seconds or days-hours:minutes:seconds';
const GPU_FORMS = 'must be how many, or a type and how many: a100:1';

/** The options of sbatch that the engine itself gives, so that `extra` may not. */
const OWN = [
  ...['array', 'chdir', 'comment', 'dependency', 'error', 'job-name', 'kill-on-invalid-dep', 'no-requeue', 'ntasks'],
  ...['open-mode', 'output', 'parsable', 'requeue', 'signal', 'test-only', 'wait', 'wrap'],
  ...['a', 'D', 'd', 'e', 'J', 'n', 'o', 'W'],
];
function isOwn(option: string): boolean {
  const [, long, short] = /^(?:--([\w-]+)|-(\w))/.exec(option) ?? [];
  return OWN.includes(long ?? short ?? '');
}

const slurmFields = {
  partition: line.optional(),
  account: line.optional(),
  qos: line.optional(),
  /** The time limit of a job: minutes, or one of Slurm's forms of a time. */
  time: z.union([z.int().positive(), z.string().regex(TIME, TIME_FORMS)], { error: TIME_FORMS }).optional(),
  /** GPUs of a run: how many, or which, as in `a100:1`. */
  gpus: z.union([z.int().positive(), z.string().regex(/^[\w.-]+:\d+$/, GPU_FORMS)], { error: GPU_FORMS }).optional(),
  cpus: z.int().positive().optional(),
  memory: z
    .string()
    .regex(/^\d+[KMGT]?$/, 'must be a number with K, M, G or T: 32G')
    .optional(),
  /** The most tasks of one array that run at once. */
  tasksAtOnce: z.int().positive().optional(),
  /** How many seconds before the time limit a run saves a checkpoint and ends. */
  signalSeconds: z.int().min(1).max(65_535).default(90),
  /** Whether a job that met its time limit, was preempted or lost its node goes back into the queue. */
  requeue: z.boolean().default(true),
  /** How often a run goes back into the queue because it met its time limit. Preemption is not counted. */
  maxTimeouts: z.int().min(0).default(10),
  /** Lines of shell before the run, such as `module load`. */
  setup: z.array(line).default([]),
  /** How babelgrad is started on a node, as words of shell; by default as it was started here. */
  command: line.optional(),
  /** More options of sbatch. */
  extra: z
    .array(
      line
        .regex(/^--?[a-z]/i, 'must be one option of sbatch: --constraint=a100')
        .refine(option => !isOwn(option), { error: 'is for the study itself to say; remove it' }),
    )
    .default([]),
};
const slurmSchema = z.strictObject(slurmFields);
export type SlurmOptions = z.infer<typeof slurmSchema>;

/** Checks the section. @throws UserError naming the field, and what is wrong with it. */
export const parseSlurm = (given: Record<string, unknown>, origin: string): SlurmOptions =>
  parseWith(slurmSchema, given, origin);
