/** What runs a study: processes of this machine (`localEngine`), or the jobs of a cluster (`slurmEngine`). */
import type { RunSummary } from '../run/context.js';
import type { RunProgress } from './execute.js';
import type { StudyPlan } from './plan.js';
import type { PlannedRun } from './planned-run.js';
import { isDone, readFailure } from './state.js';

export interface StudyEngine {
  /**
   * Starts what is left of a study: runs that are done stay, failed ones are tried again, CPT comes after its source,
   * and a run that any process holds is left to it.
   * @throws UserError when the folder holds another study.
   */
  start(plan: StudyPlan, options?: StartStudyOptions): Promise<StudySummary>;
}

export interface StartStudyOptions {
  readonly observer?: StudyObserver;
  /** Aborting this signal starts no more runs, and ends those of this process after their step, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
  /** The names of the only runs to start; by default all are. */
  readonly only?: readonly string[] | undefined;
}

export interface StudyObserver {
  onRunStart?(run: PlannedRun): void;
  onProgress?(run: PlannedRun, progress: RunProgress): void;
  onNote?(run: PlannedRun, text: string): void;
  /** Is told when a run is done or interrupted. */
  onRunEnd?(run: PlannedRun, summary: RunSummary): void;
  onRunFailed?(run: PlannedRun, error: string): void;
  /** Is told once of each run that is left to do and that another process holds; `holder` says which. */
  onWait?(run: PlannedRun, holder: string): void;
  /** Is told of each job array that was submitted: its runs, by the index of their tasks. */
  onSubmit?(job: number, runs: readonly string[]): void;
}

export interface StudySummary {
  /**
   * `done`: every run is done. `submitted`: what is left is in a cluster's queue. `incomplete`: some failed, or wait
   * for one that did, or are left to other processes. `interrupted`: the signal was aborted.
   */
  readonly status: 'done' | 'submitted' | 'incomplete' | 'interrupted';
  readonly done: readonly string[];
  readonly failed: readonly { readonly run: string; readonly error: string }[];
  /** The runs that start from one that failed, or from another of these. */
  readonly blocked: readonly string[];
}

/** The name of the run that a run starts from. */
export const sourceOf = ({ from }: PlannedRun): string | undefined => (from && 'run' in from ? from.run : undefined);

/** Whether a run can start: its source is done, if it has one. */
export function isReady(plan: StudyPlan, run: PlannedRun): boolean {
  const source = sourceOf(run);
  return source === undefined || isDone(plan.folder, plan.runs.find(({ name }) => name === source)!);
}

/** The runs that `only` names; all without it. */
export const chosenRuns = ({ runs }: StudyPlan, only?: readonly string[]): readonly PlannedRun[] =>
  only ? runs.filter(({ name }) => only.includes(name)) : runs;

/** Says how runs ended; `otherwise` is the status where not all are done. */
export function summarize(
  folder: string,
  runs: readonly PlannedRun[],
  otherwise: Exclude<StudySummary['status'], 'done'>,
): StudySummary {
  const isRunDone = new Map(runs.map(run => [run.name, isDone(folder, run)]));
  const failed = runs.flatMap(({ name }) => {
    const error = isRunDone.get(name) ? undefined : readFailure(folder, name);
    return error === undefined ? [] : [{ run: name, error }];
  });
  const stuck = new Set(failed.map(({ run }) => run));
  const blocked = runs.filter(run => stuck.has(sourceOf(run) ?? '') && stuck.add(run.name));
  const done = runs.filter(({ name }) => isRunDone.get(name));
  return {
    status: done.length === runs.length && otherwise !== 'interrupted' ? 'done' : otherwise,
    done: done.map(({ name }) => name),
    failed,
    blocked: blocked.map(({ name }) => name),
  };
}
