/**
 * Whether this process is in a job of Slurm. What ends a job there is told twice, by the node and by srun, so that a
 * second SIGTERM means no haste; Slurm kills what goes on for too long.
 */
export const isInSlurmJob = (): boolean => process.env.SLURM_JOB_ID !== undefined;
