/** What is given to sbatch: the options of a job array, and the script that each of its tasks runs. */
import { join } from 'node:path';
import type { SlurmOptions } from './options.js';

/** The exit status of a run that SIGTERM ended, with a checkpoint. */
const TERMINATED = 143;

export interface JobArray {
  /** The name of its jobs: no other array has it. */
  readonly name: string;
  /** Its own folder, in which the script finds the names of its runs. It is an absolute path. */
  readonly folder: string;
  /** The study's folder, as `study resume` takes it in the folder that the jobs start in. */
  readonly study: string;
  /** How many runs it has. */
  readonly count: number;
  /** The job or task that must have succeeded before: `12_3`. */
  readonly after?: string | undefined;
}

/** The file with the names of an array's runs, a line each. */
export const RUNS_FILE = 'runs.txt';

/** The output of a task: all its restarts append to it. */
export const outputOf = (folder: string, index: number | string): string => join(folder, `task-${index}.out`);

/** Returns the options of sbatch for an array whose jobs start in the folder `cwd`. */
export function sbatchOptions({ name, folder, count, after }: JobArray, options: SlurmOptions, cwd: string): string[] {
  const { partition, account, qos, time, gpus, cpus, memory, tasksAtOnce, signalSeconds, requeue, extra } = options;
  const given = { partition, account, qos, time, gpus, 'cpus-per-task': cpus, mem: memory };
  return [
    `--job-name=${name}`,
    `--array=0-${count - 1}${tasksAtOnce === undefined ? '' : `%${tasksAtOnce}`}`,
    ...(after === undefined ? [] : [`--dependency=afterok:${after}`, '--kill-on-invalid-dep=yes']),
    ...Object.entries(given).flatMap(([option, value]) => (value === undefined ? [] : [`--${option}=${value}`])),
    '--ntasks=1',
    `--signal=B:USR1@${signalSeconds}`,
    requeue ? '--requeue' : '--no-requeue',
    `--chdir=${cwd}`,
    // Slurm replaces %a by the index of the task
    `--output=${outputOf(folder.replaceAll('%', '%%'), '%a')}`,
    '--open-mode=append',
    ...extra,
  ];
}

/** Quotes a word for the shell. */
export const quote = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/**
 * Returns the script of an array. `command` is how babelgrad is started, as words of shell.
 *
 * The time limit and preemption both end a run with a checkpoint, and are told apart by what Slurm knows of the job.
 * Requeueing is left to the script, since a preempted job that ends within its time of grace is to Slurm one that has
 * ended.
 */
export function batchScript({ folder, study }: JobArray, options: SlurmOptions, command: string): string {
  const { signalSeconds, requeue, maxTimeouts, setup } = options;
  return `#!/usr/bin/env bash
# Task i of this job array runs line i + 1 of ${RUNS_FILE}. Written by \`babelgrad study run --engine slurm\`.
folder=${quote(folder)}
task=\${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID
run=$(sed -n "$((SLURM_ARRAY_TASK_ID + 1))p" "$folder/${RUNS_FILE}")
timeouts=$folder/task-$SLURM_ARRAY_TASK_ID.timeouts # has a line for each time limit that was met
touch "$timeouts"
say() { echo "$(date -u +%FT%TZ) $task $run: $*"; }
count_timeouts() { grep -c . "$timeouts"; }
say "starts on $(hostname); restarts: \${SLURM_RESTART_COUNT:-0}, of these for the time limit: $(count_timeouts)"

# Slurm signals this shell ${signalSeconds} s before the time limit, and the run itself where it preempts or cancels
# the job.
at_limit=no
trap 'at_limit=yes; scancel --signal=TERM "$SLURM_JOB_ID"' USR1
trap : TERM CONT

cpus=\${SLURM_CPUS_PER_TASK:+--cpus-per-task=$SLURM_CPUS_PER_TASK} # srun does not take it from sbatch
${setup.map(line => `${line}\n`).join('')}srun --ntasks=1 $cpus \\
  ${command} study resume ${quote(study)} --run "$run" &
while wait $!; status=$?; kill -0 $! 2> /dev/null; do :; done # a signal ends a wait early
wait $!; status=$?
${requeue ? requeueing(maxTimeouts) : ''}exit $status
`;
}

const requeueing = (maxTimeouts: number): string => `
if [ $status -eq ${TERMINATED} ]; then
  if scontrol show job "$SLURM_JOB_ID" | grep -q 'PreemptTime=[0-9]'; then
    say "was preempted and is requeued"
    scontrol requeue "$task"
  elif [ $at_limit = yes ] && [ "$(count_timeouts)" -ge ${maxTimeouts} ]; then
    say "met its time limit, and is not requeued: maxTimeouts is ${maxTimeouts}"
  elif [ $at_limit = yes ]; then
    date -u +%FT%TZ >> "$timeouts"
    say "met its time limit and is requeued"
    scontrol requeue "$task"
  fi
fi
`;
