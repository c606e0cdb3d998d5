/**
 * Runs a study as job arrays of a Slurm cluster, whose nodes share the study's folder: one array of the runs that can
 * start, and one of the CPT runs of each source, which waits for the source's task.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { claimFolder, isClaimed, showClaim } from '../../claim.js';
import { messageOf, UserError } from '../../errors.js';
import { packageRoot } from '../../files.js';
import { chosenRuns, isReady, type StartStudyOptions, type StudyEngine, sourceOf, summarize } from '../engine.js';
import type { StudyPlan } from '../plan.js';
import { type PlannedRun, runFolder } from '../planned-run.js';
import { forgetFailure, isDone, writePlan } from '../state.js';
import { parseSlurm, type SlurmOptions } from './options.js';
import { findTasks, isLive, mostTasks, type QueuedTask, submit } from './queue.js';
import { batchScript, quote, sbatchOptions } from './script.js';
import {
  newName,
  readOptions,
  readSubmissions,
  removeSubmission,
  type Submission,
  scriptOf,
  submissionFolder,
  submissionsFolder,
  updateSubmission,
  writeOptions,
  writeSubmission,
} from './submissions.js';

export interface SlurmEngineOptions {
  /** How long after an intent was written its sbatch may still be on its way, where its parent was killed; in ms. */
  readonly patienceMs?: number;
}

/** Submits studies to Slurm. It returns when everything that is left is in the queue. */
export const slurmEngine = ({ patienceMs = 30_000 }: SlurmEngineOptions = {}): StudyEngine => ({
  async start(plan, options = {}) {
    writePlan(plan);
    const folder = submissionsFolder(plan.folder);
    const release = await claimFolder(folder);
    if (!release) throw new UserError(`this study is being submitted by ${showClaim(folder)}`);
    try {
      const slurm = plan.slurm ?? readOptions(plan.folder) ?? parseSlurm({}, 'slurm');
      writeOptions(plan.folder, slurm);
      const queued = await settle(plan.folder, patienceMs);
      await submitRuns(new Submitter(plan, slurm, await mostTasks()), queued, options);
      const runs = chosenRuns(plan, options.only);
      const isAnyQueued = runs.some(({ name }) => queued.has(name) && !isDone(plan.folder, { name }));
      const otherwise = options.signal?.aborted ? 'interrupted' : isAnyQueued ? 'submitted' : 'incomplete';
      return summarize(plan.folder, runs, otherwise);
    } finally {
      await release();
    }
  },
});

/** The runs in the queue, with their tasks as sbatch names them: `12_3`. */
type QueuedRuns = Map<string, string>;

const taskOf = ({ job, index }: Pick<QueuedTask, 'job' | 'index'>): string => `${job}_${index}`;

/** How often the queue is looked at for a submission that may be on its way. */
const LOOK_EVERY_MS = 2000;

/** Finds the arrays whose submission was cut off. @returns the runs that wait or run. */
async function settle(study: string, patienceMs: number): Promise<QueuedRuns> {
  for (;;) {
    const submissions = readSubmissions(study);
    const tasks = await findTasks(submissions.map(({ name }) => name));
    const untold = submissions.filter(({ job }) => job === undefined);
    const isAwaited = untold.filter(submission => {
      const found = tasks.find(({ name }) => name === submission.name);
      if (found) updateSubmission(study, { ...submission, job: found.job });
      return !found && Date.now() - Date.parse(submission.created) < patienceMs;
    });
    if (isAwaited.length === 0) return liveRuns(submissions, tasks);
    await sleep(Math.min(LOOK_EVERY_MS, patienceMs));
  }
}

function liveRuns(submissions: readonly Submission[], tasks: readonly QueuedTask[]): QueuedRuns {
  const runsOf = new Map(submissions.map(({ name, runs }) => [name, runs]));
  return new Map(tasks.filter(isLive).map(task => [runsOf.get(task.name)![task.index]!, taskOf(task)]));
}

/** Submits what is left to do and is not in the queue, and adds it to `queued`. */
async function submitRuns(submitter: Submitter, queued: QueuedRuns, { only, observer, signal }: StartStudyOptions) {
  const { plan } = submitter;
  const left: PlannedRun[] = [];
  for (const run of chosenRuns(plan, only)) {
    const folder = runFolder(plan.folder, run.name);
    if (isDone(plan.folder, run) || queued.has(run.name)) continue;
    if (await isClaimed(folder)) observer?.onWait?.(run, showClaim(folder));
    else left.push(run);
  }
  const send = async (runs: readonly PlannedRun[], after?: string) => {
    for (let first = 0; first < runs.length && !signal?.aborted; first += submitter.mostTasks) {
      const names = runs.slice(first, first + submitter.mostTasks).map(({ name }) => name);
      const job = await submitter.submit(names, after);
      for (const [index, name] of names.entries()) {
        queued.set(name, taskOf({ job, index }));
        forgetFailure(plan.folder, name);
      }
      observer?.onSubmit?.(job, names);
    }
  };
  await send(left.filter(run => isReady(plan, run)));
  const waiting = left.filter(run => !isReady(plan, run) && !queued.has(run.name));
  for (const source of new Set(waiting.map(run => sourceOf(run)!))) {
    const runs = waiting.filter(run => sourceOf(run) === source);
    const task = queued.get(source);
    if (task !== undefined) await send(runs, task);
    else for (const run of runs) observer?.onWait?.(run, `its source '${source}', which is not in the queue`);
  }
}

/** Submits arrays of one study's runs. */
class Submitter {
  readonly plan: StudyPlan;
  readonly mostTasks: number;
  readonly #options: SlurmOptions;

  constructor(plan: StudyPlan, options: SlurmOptions, mostTasks: number) {
    this.plan = plan;
    this.mostTasks = mostTasks;
    this.#options = options;
  }

  /** Submits an array. @returns its job id. @throws UserError with what sbatch says against it. */
  async submit(runs: readonly string[], after: string | undefined): Promise<number> {
    const { folder: study } = this.plan;
    const name = newName(this.plan);
    const array = { name, folder: submissionFolder(study, name), study, count: runs.length, after };
    const options = sbatchOptions(array, this.#options, process.cwd());
    const submission: Submission = { name, created: new Date().toISOString(), runs: [...runs], options };
    writeSubmission(study, submission, batchScript(array, this.#options, this.#options.command ?? thisProgram()));
    const job = await submit(options, scriptOf(study, name)).catch(error => findAfter(error, study, submission));
    updateSubmission(study, { ...submission, job });
    return job;
  }
}

/** Looks for an array although sbatch failed: its answer may have been lost. */
async function findAfter(error: unknown, study: string, submission: Submission): Promise<number> {
  const [task] = await findTasks([submission.name]);
  if (task) return task.job;
  removeSubmission(study, submission);
  throw new UserError(messageOf(error));
}

/** How this program was started, as words of shell. */
const thisProgram = (): string => `${quote(process.execPath)} ${quote(join(packageRoot, 'dist/src/cli/main.js'))}`;
