import { defineConfig } from 'vitest/config';

/** The tests on the compilers of GPUs: they take minutes and packages, so that `npm test` leaves them out. */
export default defineConfig({
  test: {
    include: ['test/**/*.gpu.ts'],
    testTimeout: 1_200_000, // on a machine with other work to do
    maxConcurrency: 2, // processes that compile
  },
});
