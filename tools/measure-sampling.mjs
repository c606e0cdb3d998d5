/**
 * What the choice of a token costs on the CPU, by the filters of `generate`: the median of 101 draws, in ms.
 *
 *   node tools/measure-sampling.mjs [V]
 *
 * Logits are normal, of a deviation of 4 (peaked) and of 0.01 (flat), or all equal.
 */
import { sample } from '../dist/src/index.js';
import { Random } from '../dist/src/random.js';

const V = Number(process.argv[2] ?? 151_936);
const DRAWS = 101;
const random = new Random(1);
const normal = deviation => Float32Array.from({ length: V }, () => deviation * random.normal());
const kinds = { peaked: normal(4), flat: normal(0.01), equal: normal(0) };
const filters = {
  greedy: { temperature: 0 },
  temperature: {},
  'top-k 50': { topK: 50 },
  'top-p 0.9': { topP: 0.9 },
  'top-p 0.999': { topP: 0.999 },
  'min-p 0.05': { minP: 0.05 },
  'top-k 1000, top-p 0.9, min-p 0.05': { topK: 1000, topP: 0.9, minP: 0.05 },
};

function median(logits, settings) {
  const times = Array.from({ length: DRAWS }, () => {
    const start = performance.now();
    sample(logits, settings, random);
    return performance.now() - start;
  });
  return times.sort((a, b) => a - b)[DRAWS >> 1];
}

const table = {};
for (const [filter, settings] of Object.entries(filters)) {
  const all = { temperature: 0.8, ...settings };
  table[filter] = Object.fromEntries(
    Object.entries(kinds).map(([kind, logits]) => [kind, Number(median(logits, all).toFixed(2))]),
  );
}
console.table(table);
