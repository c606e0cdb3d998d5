/** Slurm's own commands: what is asked of them, and what they answer. */
import { execFile } from 'node:child_process';
import { UserError } from '../../errors.js';

/** A job of the queue, or one that has ended: a task of an array. */
export interface QueuedTask {
  /** The name of the array's jobs. */
  readonly name: string;
  /** The job id of the array. */
  readonly job: number;
  readonly index: number;
  /** The state in Slurm's words: PENDING, RUNNING, TIMEOUT. */
  readonly state: string;
  /** Why it is pending, or why it ended, in Slurm's words. */
  readonly reason?: string;
}

/** The states of jobs that will not go on. */
const ENDED = /^(BOOT_FAIL|CANCELLED|COMPLETED|DEADLINE|FAILED|NODE_FAIL|OUT_OF_MEMORY|PREEMPTED|REVOKED|TIMEOUT)/;

/** Whether a task waits, runs, or goes back into the queue. */
export const isLive = ({ state }: QueuedTask): boolean => !ENDED.test(state);

const DAY_MS = 86_400_000;

/** Longer than Slurm's commands themselves wait for a controller that does not answer. */
const PATIENCE_MS = 180_000;

function call(command: string, parameters: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(
      command,
      parameters,
      { timeout: PATIENCE_MS, maxBuffer: 2 ** 28, killSignal: 'SIGKILL' },
      (error, stdout, stderr) => {
        if (!error) return resolve(stdout);
        reject(
          error.code === 'ENOENT'
            ? new UserError(`there is no ${command} on this machine; use one that has the commands of Slurm`)
            : new Error(`${command} failed: ${stderr.trim() || error.message}`),
        );
      },
    );
  });
}

/** Submits a script. @returns the job id of the array. @throws Error with what sbatch says against it. */
export async function submit(options: readonly string[], script: string): Promise<number> {
  const printed = await call('sbatch', ['--parsable', ...options, script]);
  const [, id] = /^(\d+)(;|\s|$)/m.exec(printed) ?? [];
  if (id === undefined) throw new Error(`sbatch printed no job id: ${printed.trim()}`);
  return Number(id);
}

/**
 * Returns the tasks of arrays by the names of their jobs: those in the queue, and those that ended in the last minutes.
 * @throws UserError where the queue cannot be asked.
 */
export async function findTasks(names: readonly string[]): Promise<QueuedTask[]> {
  if (names.length === 0) return [];
  const format = '%j|%F|%K|%T|%r';
  const printed = await call('squeue', ['-h', '-r', '-t', 'all', `--name=${names.join(',')}`, '-o', format]);
  return printed.split('\n').flatMap(line => {
    const [name, job, index, state, reason] = line.split('|');
    if (!state || !/^\d+$/.test(index!)) return [];
    const isTold = reason !== undefined && reason !== 'None';
    return [{ name: name!, job: Number(job), index: Number(index), state, ...(isTold && { reason }) }];
  });
}

/** Returns tasks that ended, by the names of their jobs, from the accounting; nothing where a cluster keeps none. */
export async function findAccounted(names: readonly string[], since: Date): Promise<QueuedTask[]> {
  const start = new Date(since.getTime() - DAY_MS).toISOString().slice(0, 10); // the cluster's day, in whatever zone
  const format = '--format=JobName%200,JobID,State';
  const printed = await call('sacct', ['-n', '-P', '-X', '-S', start, `--name=${names.join(',')}`, format]).catch(
    () => '',
  );
  return printed.split('\n').flatMap(line => {
    const [, name, job, index, state] = /^([^|]*)\|(\d+)_(\d+)\|([A-Z_]+)/.exec(line) ?? [];
    return state === undefined ? [] : [{ name: name!, job: Number(job), index: Number(index), state }];
  });
}

/** Cancels arrays, or tasks of them. */
export async function cancel(jobs: readonly string[]): Promise<void> {
  await call('scancel', [...jobs]);
}

/** The most tasks of an array where a cluster sets nothing. */
const SLURMS_OWN_MOST = 1001;

/** Returns the most tasks that an array may have on this cluster. */
export async function mostTasks(): Promise<number> {
  const printed = await call('scontrol', ['show', 'config']);
  return Number(/^MaxArraySize\s*=\s*(\d+)/m.exec(printed)?.[1] ?? SLURMS_OWN_MOST);
}
