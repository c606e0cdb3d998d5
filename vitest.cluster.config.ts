import { defineConfig } from 'vitest/config';

/**
 * Jobs as clusters run them: ranks of an MPI, and a real Slurm of one node. They take minutes and system packages, so
 * that `npm test` leaves them out.
 */
export default defineConfig({
  test: {
    include: ['test/parallel/*.mpi.ts', 'test/slurm/*.slurm.ts'],
    pool: 'forks',
    fileParallelism: false, // every test starts several processes
    testTimeout: 1_200_000,
    hookTimeout: 300_000,
    globalSetup: ['test/support/adapter.ts'],
  },
});
