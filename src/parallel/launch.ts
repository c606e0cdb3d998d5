/** How a launcher of parallel jobs tells a process that it is one of several. */

export interface Launch {
  /** The launcher, as its user knows it. */
  readonly launcher: 'Open MPI' | 'MPICH' | 'srun';
  readonly size: number;
}

/** What each launcher sets in the environment of the processes that it starts. */
const SIZES: readonly (readonly [Launch['launcher'], variable: string])[] = [
  ['Open MPI', 'OMPI_COMM_WORLD_SIZE'],
  ['MPICH', 'PMI_SIZE'],
  ['srun', 'SLURM_STEP_NUM_TASKS'],
];

/** Returns who started this process as one of several; undefined where it is alone. */
export function launchOf(environment: NodeJS.ProcessEnv = process.env): Launch | undefined {
  for (const [launcher, variable] of SIZES) {
    const size = Number(environment[variable]);
    if (Number.isInteger(size) && size > 1) return { launcher, size };
  }
  return undefined;
}
