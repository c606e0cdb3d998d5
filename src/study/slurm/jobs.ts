/** The jobs of a study: shown beside its runs, and cancelled. */
import { existsSync } from 'node:fs';
import { UserError } from '../../errors.js';
import type { RunState, Study, StudyJob } from '../state.js';
import { cancel, findAccounted, findTasks, isLive, type QueuedTask } from './queue.js';
import { outputOf } from './script.js';
import { readSubmissions, type Submission, submissionFolder } from './submissions.js';

/**
 * Returns a study with the jobs of its runs, as the queue tells of them, and the accounting where the cluster keeps
 * one. A study that was never submitted is returned as it is.
 * @throws Error where the queue cannot be asked; UserError where this machine has no Slurm.
 */
export async function withJobs(study: Study): Promise<Study> {
  const jobs = await jobsOf(study.folder);
  const runs = study.runs.map(run => {
    const job = jobs.get(run.name);
    return job ? { ...run, job, state: stateWith(run.state, job) } : run;
  });
  return { ...study, runs };
}

/** A claim tells of a run that runs, and its checkpoint of one that is done: the queue may be behind. */
const stateWith = (state: RunState, { isLive }: StudyJob): RunState =>
  isLive && state !== 'done' && state !== 'running' ? 'queued' : state;

/** Returns the latest job of each run that has had one. */
async function jobsOf(study: string): Promise<Map<string, StudyJob>> {
  const submissions = readSubmissions(study);
  const tasks = await tasksOf(submissions);
  const jobs = new Map<string, StudyJob>();
  for (const { name, runs } of submissions) {
    for (const task of tasks.filter(task => task.name === name)) {
      const { job, index, state, reason } = task;
      const output = outputOf(submissionFolder(study, name), index);
      jobs.set(runs[index]!, {
        id: `${job}_${index}`,
        state,
        ...(reason !== undefined && { reason }),
        isLive: isLive(task),
        ...(existsSync(output) && { output }),
      });
    }
  }
  return jobs;
}

/** Returns the tasks of arrays. Those that the queue no longer knows come from the accounting. */
async function tasksOf(submissions: readonly Submission[]): Promise<QueuedTask[]> {
  const queued = await findTasks(submissions.map(({ name }) => name));
  const known = new Set(queued.map(({ name, index }) => `${name} ${index}`));
  const forgotten = submissions.filter(({ name, runs }) => runs.some((_, index) => !known.has(`${name} ${index}`)));
  if (forgotten.length === 0) return queued;
  const accounted = await findAccounted(
    forgotten.map(({ name }) => name),
    new Date(forgotten[0]!.created),
  );
  return [...queued, ...accounted.filter(({ name, index }) => !known.has(`${name} ${index}`))];
}

/**
 * Cancels the jobs of a study that wait or run; runs that have begun end with a checkpoint.
 * @returns the names of their runs.
 * @throws UserError when the study was never submitted.
 */
export async function cancelStudy(study: string): Promise<string[]> {
  const submissions = readSubmissions(study);
  if (submissions.length === 0) {
    throw new UserError(
      `'${study}' has no jobs: it was never submitted to Slurm; Ctrl-C or SIGTERM ends what runs it on a machine`,
    );
  }
  const live = (await findTasks(submissions.map(({ name }) => name))).filter(isLive);
  if (live.length > 0) await cancel([...new Set(live.map(({ job }) => String(job)))]);
  return live.flatMap(({ name, index }) => submissions.find(submission => submission.name === name)!.runs[index]!);
}
