import { defineConfig } from 'vitest/config';

/** The tests on a real Slurm of one node: they take minutes and system daemons, so that `npm test` leaves them out. */
export default defineConfig({
  test: {
    include: ['test/slurm/*.slurm.ts'],
    testTimeout: 600_000,
    hookTimeout: 300_000,
  },
});
