import { defineConfig } from 'vitest/config';

/** Faults on purpose: they take minutes, so that `npm test` leaves them out. BABELGRAD_FAULTS=long takes more of them. */
export default defineConfig({
  test: {
    include: ['test/faults/**/*.faults.ts'],
    // a process of its own for every file: some faults end it
    pool: 'forks',
    execArgv: ['--expose-gc'], // so that what is measured of memory is what is held
    maxWorkers: 2,
    testTimeout: 3_600_000,
    hookTimeout: 600_000, // they train and tokenize, beside other faults
    globalSetup: ['test/support/adapter.ts'],
  },
});
