import { defineConfig } from 'vitest/config';

/** Jobs of several processes, as clusters run them: they need an MPI, so that `npm test` leaves them out. */
export default defineConfig({
  test: {
    include: ['test/parallel/**/*.mpi.ts'],
    pool: 'forks',
    maxWorkers: 1, // every test starts several processes
    testTimeout: 300_000,
    hookTimeout: 120_000,
    globalSetup: ['test/support/adapter.ts'],
  },
});
