/** How far the runs of a study are. The state is read from the runs' folders, so that nothing can go stale. */
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import { listCheckpoints } from '../checkpoint/find.js';
import { isClaimed } from '../claim.js';
import { UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import { readJson, readText } from '../input-files.js';
import { checkedFileName } from '../paths.js';
import { type RunRecord, readRun } from '../report/runs.js';
import { parseConfig } from '../run/config.js';
import { inWords, whyInvalid } from '../schema.js';
import { STRATEGIES } from './file.js';
import type { StudyPlan } from './plan.js';
import { type PlannedRun, runFolder } from './planned-run.js';
import { ACCOUNTS } from './replay.js';

/**
 * The states that need a word:
 * - `waiting`: the run that it starts from is not done.
 * - `blocked`: the run that it starts from failed, or is blocked itself.
 * - `interrupted`: it was started, and no process holds it.
 * - `running`: a process holds its claim.
 * - `queued`: a job of a cluster will run it (`withJobs`).
 */
export type RunState = 'done' | 'running' | 'queued' | 'interrupted' | 'failed' | 'pending' | 'waiting' | 'blocked';

/** The job of a cluster that runs a run, or was the last to do so. */
export interface StudyJob {
  /** The task of a job array, as Slurm's commands take it: `12_3`. */
  readonly id: string;
  /** The state in Slurm's words. */
  readonly state: string;
  /** Why it waits, or why it ended, in Slurm's words. */
  readonly reason?: string;
  /** Whether it waits or runs. */
  readonly isLive: boolean;
  /** The file that its output is in, once it has started. */
  readonly output?: string;
}

/** A run of a study as it is now. */
export interface StudyRun extends PlannedRun {
  readonly state: RunState;
  /** The share of its steps that are done, 0 to 1. */
  readonly progress: number;
  /** Why the run failed, if it did. */
  readonly error?: string;
  /** The configuration and metrics, once the run has started. */
  readonly record?: RunRecord;
  /** Its job, where it has one (`withJobs`). */
  readonly job?: StudyJob;
}

export interface Study extends Omit<StudyPlan, 'runs'> {
  readonly runs: readonly StudyRun[];
}

const PLAN_FILE = 'study.json';
const FORMAT = 'babelgrad study 1';
/** A run's name is that of its folder. */
const runName = z
  .string()
  .regex(/^[^/\\\0]+$/, 'it is no name of a folder')
  .refine(name => !/^\.+$/.test(name), {
    error: 'it is no name of a folder',
  });
const planSchema = z.object({
  format: z.literal(FORMAT),
  name: z.string(),
  folder: z.string(),
  source: z.string().optional(),
  targets: z.array(z.string()),
  runs: z.array(
    z.object({
      name: runName,
      size: z.string(),
      strategy: z.enum(STRATEGIES),
      language: z.string(),
      replay: z.number().min(0).max(1),
      account: z.enum(ACCOUNTS).optional(),
      rank: z.int().positive().optional(),
      sourceEnd: z.number().positive().optional(),
      seed: z.int().min(0),
      config: z.record(z.string(), z.unknown()),
      part: z
        .object({ line: runName, kind: z.enum(['trunk', 'end']), tokensPerParameter: z.number().positive() })
        .optional(),
      from: z.union([z.object({ run: runName }), z.object({ folder: z.string().min(1) })]).optional(),
    }),
  ),
});

/**
 * Writes a study's plan into its folder. A folder with the same plan is joined, and one whose runs are all in this plan
 * as they were is grown by the others.
 * @throws UserError when the folder holds another study.
 */
export function writePlan(plan: StudyPlan): void {
  const path = join(plan.folder, PLAN_FILE);
  const { slurm: _, ...identity } = plan; // what a cluster is asked for may change
  const text = `${JSON.stringify({ format: FORMAT, ...identity }, null, 1)}\n`;
  if (existsSync(path) && readText(path) !== text && !isGrown(readPlan(plan.folder), plan)) {
    throw new UserError(
      `'${plan.folder}' holds a study with other runs or settings; choose another folder with out, ` +
        'or go on with that one: ' +
        `babelgrad study resume ${plan.folder}`,
    );
  }
  writeFileWhole(path, text);
}

/** Whether a plan holds every run of an earlier one unchanged. */
function isGrown(earlier: StudyPlan, plan: StudyPlan): boolean {
  const runs = new Map(plan.runs.map(run => [run.name, run]));
  const isSame = earlier.name === plan.name && earlier.folder === plan.folder && earlier.source === plan.source;
  return isSame && earlier.runs.every(run => isDeepStrictEqual(asRead(runs.get(run.name)), asRead(run)));
}

/** Returns a run as it is in a file: without fields that are not defined. */
const asRead = (run: PlannedRun | undefined): unknown => run && JSON.parse(JSON.stringify(run));

/**
 * Reads the plan of a study's folder.
 * @throws UserError when the folder holds no study, or naming the field of its plan that is not as it should be.
 */
export function readPlan(folder: string): StudyPlan {
  const path = join(folder, PLAN_FILE);
  const missing = `'${folder}' holds no study (it has no ${PLAN_FILE}); start one with babelgrad study run FILE`;
  const { success, data, error } = planSchema.safeParse(readJson(path, missing), inWords);
  if (!success) throw new UserError(`'${path}' is not the plan of a study (${FORMAT}): ${whyInvalid(error)}`);
  const runs = data.runs.map(run => ({ ...run, config: parseConfig(run.config, `'${path}': run '${run.name}'`) }));
  checkRuns(runs, path);
  const { format: _, ...plan } = data;
  return { ...plan, runs, folder };
}

/** Checks that runs are told apart, and start from runs before them. @throws UserError naming the run. */
function checkRuns(runs: readonly PlannedRun[], path: string): void {
  const earlier = new Set<string>();
  for (const { name, from } of runs) {
    const source = from && 'run' in from ? from.run : undefined;
    if (earlier.has(name)) throw new UserError(`'${path}': two runs are named '${name}'`);
    if (source !== undefined && !earlier.has(source)) {
      throw new UserError(`'${path}': run '${name}' starts from '${source}', which is no run before it`);
    }
    earlier.add(name);
  }
}

/**
 * Reads every run of the study in `folder` with its state and metrics.
 * @throws UserError when the folder holds no study.
 */
export async function readStudy(folder: string): Promise<Study> {
  const plan = readPlan(folder);
  const states = new Map<string, RunState>();
  const runs: StudyRun[] = [];
  for (const run of plan.runs) {
    const state = await stateOf(folder, run, states);
    states.set(run.name, state);
    const record = recordOf(folder, run);
    const error = state === 'failed' ? readFailure(folder, run.name) : undefined;
    runs.push({
      ...run,
      state,
      progress: progressOf(state, record),
      ...(error && { error }),
      ...(record && { record }),
    });
  }
  return { ...plan, runs };
}

async function stateOf(study: string, run: PlannedRun, earlier: ReadonlyMap<string, RunState>): Promise<RunState> {
  if (isDone(study, run)) return 'done';
  if (await isClaimed(runFolder(study, run.name))) return 'running';
  if (readFailure(study, run.name) !== undefined) return 'failed';
  if (existsSync(join(runFolder(study, run.name), 'config.json'))) return 'interrupted';
  if (run.from && 'run' in run.from) {
    const source = earlier.get(run.from.run);
    if (source === 'failed' || source === 'blocked') return 'blocked';
    if (source !== 'done') return 'waiting';
  }
  return 'pending';
}

const stepsSchema = z.looseObject({ steps: z.number() });

/** Whether the run's last step has its checkpoint. */
export function isDone(study: string, { name }: Pick<PlannedRun, 'name'>): boolean {
  const folder = runFolder(study, name);
  const latest = listCheckpoints(folder).at(-1);
  if (!latest) return false;
  const path = join(folder, 'config.json');
  const { success, data, error } = stepsSchema.safeParse(readJson(path), inWords);
  if (!success) throw new UserError(`'${path}' is not the configuration of a run: ${whyInvalid(error)}`);
  return latest.step === data.steps;
}

function recordOf(study: string, { name }: PlannedRun): RunRecord | undefined {
  const folder = runFolder(study, name);
  return existsSync(join(folder, 'metrics.jsonl')) ? readRun(folder) : undefined;
}

function progressOf(state: RunState, record: RunRecord | undefined): number {
  if (state === 'done') return 1;
  const last = Math.max(record?.steps.at(-1)?.tokens ?? 0, record?.evaluations.at(-1)?.tokens ?? 0);
  return record ? last / record.config.tokens : 0;
}

/** Returns the path of the file that says why a run failed. */
const failurePath = (study: string, run: string): string =>
  join(study, 'failures', checkedFileName(`${run}.txt`, 'the failure'));

/** Returns why a run failed, or undefined. */
export function readFailure(study: string, run: string): string | undefined {
  const path = failurePath(study, run);
  return existsSync(path) ? readText(path).trim() : undefined;
}

export function writeFailure(study: string, run: string, error: string): void {
  writeFileWhole(failurePath(study, run), `${error}\n`);
}

export function forgetFailure(study: string, run: string): void {
  rmSync(failurePath(study, run), { force: true });
}
