import { defineConfig } from 'vitest/config';

/** The tests on the compilers of GPUs: they take minutes and packages, so that `npm test` leaves them out. */
export default defineConfig({
  test: {
    include: ['test/**/*.gpu.ts'],
    testTimeout: 600_000,
    maxConcurrency: 2, // processes that compile
  },
});
