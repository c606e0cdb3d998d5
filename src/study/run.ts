/**
 * Runs a study: each run once, CPT after its source. Several processes, on machines that share the folder, may run the
 * same study: each run is claimed before it is started. A run that fails is noted, and the others go on.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { claimFolder, isClaimed, showClaim } from '../claim.js';
import { messageOf } from '../errors.js';
import type { RunSummary } from '../run/context.js';
import { type Execute, inChildProcess, type RunProgress } from './execute.js';
import { type PlannedRun, runFolder, type StudyPlan } from './plan.js';
import { forgetFailure, isDone, readFailure, writeFailure, writePlan } from './state.js';

export interface StudyObserver {
  onRunStart?(run: PlannedRun): void;
  onProgress?(run: PlannedRun, progress: RunProgress): void;
  onNote?(run: PlannedRun, text: string): void;
  /** Is told when a run is done or interrupted. */
  onRunEnd?(run: PlannedRun, summary: RunSummary): void;
  onRunFailed?(run: PlannedRun, error: string): void;
  /** Is told once of each run that is left to do and that another process holds; `holder` says which. */
  onWait?(run: PlannedRun, holder: string): void;
}

export interface RunStudyOptions {
  /** The number of runs at a time. */
  readonly jobs?: number;
  readonly execute?: Execute;
  readonly observer?: StudyObserver;
  /** Aborting this signal ends every run after its current step, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
}

export interface StudySummary {
  /**
   * `done`: every run is done. `incomplete`: some failed, or wait for one that did. `interrupted`: the signal was
   * aborted.
   */
  readonly status: 'done' | 'incomplete' | 'interrupted';
  readonly done: readonly string[];
  readonly failed: readonly { readonly run: string; readonly error: string }[];
  /** The CPT runs whose source run failed. */
  readonly blocked: readonly string[];
}

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
  const { jobs = 1, signal } = options;
  writePlan(plan);
  const tried = new Set<string>();
  const awaited = new Set<string>();
  const running = new Set<Promise<void>>();
  while (!signal?.aborted) {
    const next = running.size < jobs ? await claimNext(plan, tried) : undefined;
    if (next) {
      tried.add(next.run.name);
      const job: Promise<void> = runOne(plan, next.run, options)
        .finally(next.release)
        .finally(() => running.delete(job));
      running.add(job);
    } else if (running.size > 0) await Promise.race(running);
    else {
      const others = await runsOfOthers(plan, tried);
      if (others.length === 0) break;
      for (const run of others) {
        if (!awaited.has(run.name)) options.observer?.onWait?.(run, showClaim(runFolder(plan.folder, run.name)));
        awaited.add(run.name);
      }
      await sleep(LOOK_EVERY_MS, undefined, { signal }).catch(() => {});
    }
  }
  await Promise.all(running);
  return summarize(plan, signal?.aborted === true);
}

const sourceOf = ({ from }: PlannedRun): string | undefined => (from && 'run' in from ? from.run : undefined);

function isReady(plan: StudyPlan, run: PlannedRun): boolean {
  const source = sourceOf(run);
  return source === undefined || isDone(plan.folder, plan.runs.find(({ name }) => name === source)!);
}

/** Claims the first run that is ready and that no other process holds. */
async function claimNext(plan: StudyPlan, tried: ReadonlySet<string>) {
  for (const run of plan.runs) {
    if (tried.has(run.name) || isDone(plan.folder, run) || !isReady(plan, run)) continue;
    const release = await claimFolder(runFolder(plan.folder, run.name));
    if (!release) continue;
    if (!isDone(plan.folder, run)) return { run, release };
    await release(); // another process finished it between the look and the claim
  }
  return undefined;
}

/** Returns what other processes run and have not done, so that there may be work later. */
async function runsOfOthers({ folder, runs }: StudyPlan, tried: ReadonlySet<string>): Promise<PlannedRun[]> {
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

function summarize(plan: StudyPlan, aborted: boolean): StudySummary {
  const isRunDone = new Map(plan.runs.map(run => [run.name, isDone(plan.folder, run)]));
  const failed = plan.runs.flatMap(({ name }) => {
    const error = isRunDone.get(name) ? undefined : readFailure(plan.folder, name);
    return error === undefined ? [] : [{ run: name, error }];
  });
  const blocked = plan.runs.filter(run => failed.some(({ run: name }) => name === sourceOf(run)));
  const done = plan.runs.filter(({ name }) => isRunDone.get(name));
  return {
    status: aborted ? 'interrupted' : done.length === plan.runs.length ? 'done' : 'incomplete',
    done: done.map(({ name }) => name),
    failed,
    blocked: blocked.map(({ name }) => name),
  };
}
