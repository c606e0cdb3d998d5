/** How far the runs of a study are. The state is read from the runs' folders, so that nothing can go stale. */
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { listCheckpoints } from '../checkpoint/find.js';
import { isClaimed } from '../claim.js';
import { UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import { checkedFileName } from '../paths.js';
import { type RunRecord, readRun } from '../report/runs.js';
import { whyInvalid } from '../schema.js';
import { type PlannedRun, runFolder, type StudyPlan } from './plan.js';

/**
 * The states that need a word:
 * - `waiting`: its source run is not done.
 * - `blocked`: its source run failed.
 * - `interrupted`: it was started, and no process holds it.
 * - `running`: a process holds its claim.
 */
export type RunState = 'done' | 'running' | 'interrupted' | 'failed' | 'pending' | 'waiting' | 'blocked';

/** A run of a study as it is now. */
export interface StudyRun extends PlannedRun {
  readonly state: RunState;
  /** The share of its steps that are done, 0 to 1. */
  readonly progress: number;
  /** Why the run failed, if it did. */
  readonly error?: string;
  /** The configuration and metrics, once the run has started. */
  readonly record?: RunRecord;
}

export interface Study extends Omit<StudyPlan, 'runs'> {
  readonly runs: readonly StudyRun[];
}

const PLAN_FILE = 'study.json';
const FORMAT = 'babelgrad study 1';
const planSchema = z.looseObject({
  format: z.literal(FORMAT),
  name: z.string(),
  folder: z.string(),
  source: z.string().optional(),
  targets: z.array(z.string()),
  runs: z.array(z.looseObject({ name: z.string() })),
});

/**
 * Writes a study's plan into its folder; a folder with the same plan is joined.
 * @throws UserError when the folder holds another study.
 */
export function writePlan(plan: StudyPlan): void {
  const path = join(plan.folder, PLAN_FILE);
  const text = `${JSON.stringify({ format: FORMAT, ...plan }, null, 1)}\n`;
  if (existsSync(path) && readFileSync(path, 'utf8') !== text) {
    throw new UserError(
      `'${plan.folder}' holds a study with other runs or settings; choose another folder with out, ` +
        'or go on with that one: ' +
        `babelgrad study resume ${plan.folder}`,
    );
  }
  writeFileWhole(path, text);
}

/** Reads the plan of a study's folder. @throws UserError when the folder holds no study. */
export function readPlan(folder: string): StudyPlan {
  const path = join(folder, PLAN_FILE);
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch {
    throw new UserError(`'${folder}' holds no study (it has no ${PLAN_FILE}); start one with babelgrad study run FILE`);
  }
  try {
    // `writePlan` wrote the file: the schema checks that it is such a file, and the types are those of the plan
    return { ...(planSchema.parse(JSON.parse(text)) as unknown as StudyPlan), folder };
  } catch (error) {
    throw new UserError(`'${path}' is not the plan of a study (${FORMAT}): ${whyInvalid(error)}`);
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
    if (source === 'failed') return 'blocked';
    if (source !== 'done') return 'waiting';
  }
  return 'pending';
}

/** Whether the run's last step has its checkpoint. */
export function isDone(study: string, { name }: PlannedRun): boolean {
  const folder = runFolder(study, name);
  const latest = listCheckpoints(folder).at(-1);
  if (!latest) return false;
  const { steps } = z
    .looseObject({ steps: z.number() })
    .parse(JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8')));
  return latest.step === steps;
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
  return existsSync(path) ? readFileSync(path, 'utf8').trim() : undefined;
}

export function writeFailure(study: string, run: string, error: string): void {
  writeFileWhole(failurePath(study, run), `${error}\n`);
}

export function forgetFailure(study: string, run: string): void {
  rmSync(failurePath(study, run), { force: true });
}
