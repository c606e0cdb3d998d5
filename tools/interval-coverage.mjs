/**
 * Checks that the intervals of a fit cover: 90% intervals of fits to points drawn from a law with 1% of noise, in
 * 200 draws. Usage, after npm run build: node tools/interval-coverage.mjs [draws] [replicates]. It takes minutes.
 */
import { coverageOf } from '../dist/src/scaling/coverage.js';

const [draws = 200, replicates = 200] = process.argv.slice(2).map(Number);
const truth = { E: 1.55, A: 420, B: 719.5, alpha: 0.4, beta: 0.3, gamma: 0 };
const design = [5e7, 1e8, 2e8, 4e8, 8e8, 1.6e9, 3.2e9].flatMap(parameters =>
  [1, 2, 4, 8, 14, 20].map(ratio => ({ parameters, tokens: ratio * parameters })),
);
const options = { draws, replicates, noise: 0.01, level: 0.9, seed: 0 };
console.log(coverageOf(truth, design, { N: 6.4e9, D: 128e9 }, options));
