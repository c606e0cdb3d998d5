/** Starting a study from the command line, on either engine. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { messageOf } from '../errors.js';
import {
  chooseAdapter,
  localEngine,
  type PlannedRun,
  readStudy,
  type Study,
  type StudyObserver,
  type StudyPlan,
  type StudyRun,
  type StudySummary,
  slurmEngine,
  UserError,
  withJobs,
} from '../index.js';
import { percent, short, showLosses } from '../report/numbers.js';
import { chosenRuns } from '../study/engine.js';
import { resolveStudy } from '../study/estimate.js';
import type { CommandResult, Terminal } from './command.js';
import { interruptible } from './interruption.js';
import type { EngineName } from './options.js';
import { studyTable } from './study-table.js';

export interface StartFlags {
  engine: EngineName;
  jobs?: number;
}

/** Starts what is left of a study, or of the runs in `only`, and shows where that has led. */
export async function startStudy(
  terminal: Terminal,
  plan: StudyPlan,
  { engine, jobs }: StartFlags,
  only?: readonly string[],
): Promise<CommandResult> {
  const summary = await STARTS[engine]({ terminal, plan, jobs, only });
  // a task of an array leaves the folders of other runs alone, of which there may be thousands
  if (!only) terminal.print(studyTable(await readWithJobs(terminal, plan.folder)));
  terminal.print(NEXT[summary.status](plan.folder, engine));
  if (summary.status !== 'done' && summary.status !== 'submitted') process.exitCode ||= 1; // an interruption's stands
  return { folder: plan.folder, ...summary };
}

/** Reads a study with its jobs. Where the queue cannot be asked, the folders still tell. */
export async function readWithJobs(terminal: Terminal, folder: string): Promise<Study> {
  const study = await readStudy(folder);
  return withJobs(study).catch(error => {
    terminal.note(`without jobs: ${messageOf(error)}`);
    return study;
  });
}

const goOn = (folder: string, engine: string): string =>
  `go on with: babelgrad study resume ${folder}${engine === 'local' ? '' : ` --engine ${engine}`}`;
const NEXT: Readonly<Record<StudySummary['status'], (folder: string, engine: string) => string>> = {
  done: folder => `report with: babelgrad study report ${folder}`,
  submitted: folder => `see how far it is with: babelgrad study status ${folder}`,
  incomplete: goOn,
  interrupted: goOn,
};

interface Start {
  readonly terminal: Terminal;
  readonly plan: StudyPlan;
  readonly jobs: number | undefined;
  readonly only: readonly string[] | undefined;
}

const STARTS: Readonly<Record<EngineName, (start: Start) => Promise<StudySummary>>> = {
  local: startLocally,
  slurm: submitToSlurm,
};

/** Runs with a bar over the FLOPs that are left, and a line for each run that ends; Ctrl-C stops with checkpoints. */
async function startLocally(start: Start): Promise<StudySummary> {
  const { terminal, plan, jobs, only } = start;
  const { observer, end } = await observe(start);
  const onInterrupt = () => terminal.note('stopping after the current steps, with checkpoints');
  const engine = localEngine({ ...(jobs !== undefined && { jobs }) });
  return interruptible(onInterrupt, signal => engine.start(plan, { signal, observer, only })).finally(end);
}

/** Submits, with a line for each array. The runs are checked without an adapter, which a login node need not have. */
async function submitToSlurm({ terminal, plan, jobs, only }: Start): Promise<StudySummary> {
  if (jobs !== undefined) {
    throw new UserError("'--jobs' is for the local engine; tasksAtOnce in the study's slurm section limits an array");
  }
  resolveStudy(plan);
  const observer: StudyObserver = {
    onWait: ({ name }, holder) => terminal.note(`${name}: not submitted, it is left to ${holder}`),
    onSubmit: (job, runs) => terminal.note(`job ${job}: ${runs.length} runs, ${runs[0]} to ${runs.at(-1)}`),
  };
  const onInterrupt = () => terminal.note('no more is submitted; what is in the queue stays there');
  return interruptible(onInterrupt, signal => slurmEngine().start(plan, { signal, observer, only }));
}

/**
 * Returns an observer that shows the runs. It throws before any run is started.
 * @throws UserError when a run's configuration, its data and the adapter don't fit together.
 */
async function observe({ terminal, plan, only }: Start): Promise<{ observer: StudyObserver; end(): void }> {
  const runs = chosenRuns(plan, only);
  const { chosen } = (await chooseAdapter(plan.runs[0]!.config.adapter)).choice;
  const resolved = resolveStudy(plan, chosen);
  const flopsOf = ({ name }: PlannedRun) => resolved.get(name)!.flopsPerToken * resolved.get(name)!.tokens;
  const progress = new Map((only ? [] : await studyIfThere(plan)).map(run => [run.name, run.progress]));
  const flopsDone = () => runs.reduce((sum, run) => sum + flopsOf(run) * (progress.get(run.name) ?? 0), 0);
  const before = flopsDone();
  const total = runs.reduce((sum, run) => sum + flopsOf(run), 0);
  let done = [...progress.values()].filter(share => share === 1).length;
  const bar = total > before ? terminal.progress(plan.name, total - before, 'FLOPs') : undefined;
  const current = new Map<string, string>();
  const show = () => {
    const count = `${done}/${runs.length} runs`;
    bar?.update(flopsDone() - before, [count, ...current.values()].join(' · '));
  };
  const ended = ({ name }: PlannedRun, line: string) => {
    current.delete(name);
    terminal.note(line);
    show();
  };
  const observer: StudyObserver = {
    onNote: ({ name }, text) => terminal.note(`${name}: ${text}`),
    onWait: ({ name }, holder) => terminal.note(`${name}: waiting for ${holder}, which is running it`),
    onProgress({ name }, { step, steps, loss, tokensPerSecond }) {
      progress.set(name, step / steps);
      current.set(
        name,
        `${name} ${percent(step / steps)} loss ${loss?.toFixed(3) ?? 'not finite'} ${short(tokensPerSecond)} tokens/s`,
      );
      show();
    },
    onRunEnd(run, { status, heldOut, tokens, step, steps }) {
      progress.set(run.name, step / steps);
      if (status === 'done') done++;
      ended(
        run,
        `${run.name}: ${status}, ${short(tokens)} tokens, held-out loss in nats per token ${showLosses(heldOut)}`,
      );
    },
    onRunFailed: (run, error) => ended(run, `${run.name}: failed: ${error}`),
  };
  return { observer, end: () => bar?.stop() };
}

/** Returns the runs of a study that was started before. */
async function studyIfThere({ folder }: StudyPlan): Promise<readonly StudyRun[]> {
  return existsSync(join(folder, 'study.json')) ? (await readStudy(folder)).runs : [];
}
