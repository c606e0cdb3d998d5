/**
 * Runs a study: each run once, CPT after its source. Several processes, on machines that share the folder, may run the
 * same study: each run is claimed before it is started. A run that fails is noted, and the others go on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { claimFolder, isClaimed, showClaim } from '../claim.js';
import { messageOf } from '../errors.js';
import {
  chosenRuns,
  isReady,
  type StartStudyOptions,
  type StudyEngine,
  type StudySummary,
  summarize,
} from './engine.js';
import { type Execute, inChildProcess } from './execute.js';
import type { StudyPlan } from './plan.js';
import { type PlannedRun, runFolder } from './planned-run.js';
import { forgetFailure, isDone, writeFailure, writePlan } from './state.js';

export interface LocalOptions {
  /** The number of runs at a time. */
  readonly jobs?: number;
  readonly execute?: Execute;
}

export interface RunStudyOptions extends LocalOptions, StartStudyOptions {}

/** Runs studies in child processes of this one, until every run has ended. */
export const localEngine = (local: LocalOptions = {}): StudyEngine => ({
  start: (plan, options) => runStudy(plan, { ...local, ...options }),
});

/** How often the runs that other processes hold are looked at. */
const LOOK_EVERY_MS = 2000;

/**
 * Starts a study, or goes on with it: finished runs are not run again, interrupted ones go on, failed ones are tried
 * again.
 * @throws UserError when the folder holds another study.
 * @example
 * import { readStudyPlan, runStudy } from 'babelgrad';
 *
 * const plan = readStudyPlan('study.yaml');
 * const { status, done, failed } = await runStudy(plan, { jobs: 1 });
 * console.log(status, done, failed);
 */
export async function runStudy(plan: StudyPlan, options: RunStudyOptions = {}): Promise<StudySummary> {
  const { jobs = 1, signal, only } = options;
  writePlan(plan);
  const runs = chosenRuns(plan, only);
  const tried = new Set<string>();
  const awaited = new Set<string>();
  const running = new Set<Promise<void>>();
  while (!signal?.aborted) {
    const next = running.size < jobs ? await claimNext(plan, runs, tried) : undefined;
    if (next) {
      tried.add(next.run.name);
      const job: Promise<void> = runOne(plan, next.run, options)
        .finally(next.release)
        .finally(() => running.delete(job));
      running.add(job);
    } else if (running.size > 0) await Promise.race(running);
    else {
      const others = await runsOfOthers(plan.folder, runs, tried);
      if (others.length === 0) break;
      for (const run of others) {
        if (!awaited.has(run.name)) options.observer?.onWait?.(run, showClaim(runFolder(plan.folder, run.name)));
        awaited.add(run.name);
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }
  await Promise.all(running);
  return summarize(plan.folder, runs, signal?.aborted ? 'interrupted' : 'incomplete');
}

/** Claims the first run that is ready and that no other process holds. */
async function claimNext(plan: StudyPlan, runs: readonly PlannedRun[], tried: ReadonlySet<string>) {
  for (const run of runs) {
    if (tried.has(run.name) || isDone(plan.folder, run) || !isReady(plan, run)) continue;
    const release = await claimFolder(runFolder(plan.folder, run.name));
    if (!release) continue;
    if (!isDone(plan.folder, run)) return { run, release };
    await release(); // another process finished it between the look and the claim
  }
  return undefined;
}

/** Returns what other processes run and have not done, so that there may be work later. */
async function runsOfOthers(
  folder: string,
  runs: readonly PlannedRun[],
  tried: ReadonlySet<string>,
): Promise<PlannedRun[]> {
  const others: PlannedRun[] = [];
  for (const run of runs) {
    if (!tried.has(run.name) && !isDone(folder, run) && (await isClaimed(runFolder(folder, run.name))))
      others.push(run);
  }
  return others;
}

async function runOne(plan: StudyPlan, run: PlannedRun, { execute, observer, signal }: RunStudyOptions): Promise<void> {
  forgetFailure(plan.folder, run.name);
  observer?.onRunStart?.(run);
  const from = run.from && ('run' in run.from ? runFolder(plan.folder, run.from.run) : run.from.folder);
  try {
    const summary = await (execute ?? inChildProcess)(
      { folder: runFolder(plan.folder, run.name), config: run.config, from },
      {
        signal,
        onProgress: progress => observer?.onProgress?.(run, progress),
        onNote: text => observer?.onNote?.(run, text),
      },
    );
    observer?.onRunEnd?.(run, summary);
  } catch (error) {
    writeFailure(plan.folder, run.name, messageOf(error));
    observer?.onRunFailed?.(run, messageOf(error));
  }
}
