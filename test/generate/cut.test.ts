/** Candidates found without sorting are those of the definition, to the last bit, and so is every draw. */
import { expect, test } from 'vitest';
import { type Distribution, distribution, type SamplingSettings, sample } from '../../src/generate/sample.js';
import { Random } from '../../src/random.js';

/** The definition: everything is sorted, and added up in that order. */
function sortedDistribution(logits: Float32Array, settings: SamplingSettings): Distribution {
  const { temperature, topK = logits.length, topP = 1, minP = 0 } = settings;
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const weights = Float64Array.from(logits, logit => Math.exp((logit - largest) / temperature));
  const isFiltered = topK < logits.length || topP < 1;
  const likely = isFiltered ? likeliestOf(weights, Math.min(topK, logits.length), topP) : [...weights.keys()];
  const ids = likely.filter(id => weights[id]! >= minP);
  const total = ids.reduce((sum, id) => sum + weights[id]!, 0);
  return { ids, probabilities: ids.map(id => weights[id]! / total) };
}

/** Of the `count` largest weights the fewest, largest first, that come to `share` of their sum; by id. */
function likeliestOf(weights: Float64Array, count: number, share: number): number[] {
  const top = weights.slice().sort().subarray(-count);
  const total = top.reduce((sum, weight) => sum + weight, 0);
  const least = Math.max(top[0]!, ((1 - share) * total) / count);
  const ids = [...weights.keys()].filter(id => weights[id]! >= least);
  ids.sort((a, b) => weights[b]! - weights[a]! || a - b);
  let end = 0;
  for (let sum = 0; end < ids.length && (share === 1 || sum < share * total); end++) sum += weights[ids[end]!]!;
  return ids.slice(0, Math.min(count, end)).sort((a, b) => a - b);
}

function sortedSample(logits: Float32Array, settings: SamplingSettings, random: Random): number {
  const { ids, probabilities } = sortedDistribution(logits, settings);
  let rest = random.uniform();
  for (const [i, probability] of probabilities.entries()) {
    rest -= probability;
    if (rest < 0) return ids[i]!;
  }
  return ids.at(-1)!;
}

const random = new Random(3);
const make = (V: number, logit: (id: number) => number) => Float32Array.from({ length: V }, (_, id) => logit(id));

/** V logits of each kind that there is something special about. */
const KINDS: Readonly<Record<string, (V: number) => Float32Array>> = {
  peaked: V => make(V, () => 6 * random.normal()),
  flat: V => make(V, () => 0.01 * random.normal()),
  'all but equal': V => make(V, () => 12 + random.integer(5) * 2 ** -20),
  'all equal': V => make(V, () => -7.25),
  'in ties': V => make(V, () => random.integer(4) - 2),
  'weights of powers of two in ties': V => make(V, () => random.integer(3) * Math.fround(Math.LN2)),
  'one far above the others': V => make(V, id => (id === V >> 1 ? 80 : random.normal())),
  'far beyond what exp can tell from 0': V => make(V, () => 3e5 * random.normal()),
  'largest and smallest there are': V => make(V, () => (random.uniform() - 0.5) * 2 ** random.integer(128)),
  'zeros of both signs': V => make(V, () => (random.uniform() < 0.5 ? -0 : 0)),
  'weights below the normal numbers': V => make(V, id => (id === 0 ? 0 : -700 - 45 * random.uniform())),
};
const TEMPERATURES = [1, 0.7, 2, 1e-3, 1e9, 1e-310];
const TOP_P = [undefined, 1, 0.9, 0.5, 0.25, 0.999, 1e-9, 1 - 2 ** -53, 1 - 2 ** -36];
const MIN_P = [undefined, 0.05, 0, 1, 0.5];
const pick = <Value>(values: readonly Value[]): Value => values[random.integer(values.length)]!;

test.each(Object.keys(KINDS))('%s', kind => {
  for (let round = 0; round < 100; round++) {
    const V = pick([1, 2, 17, 256, 1500, 4000]);
    const logits = KINDS[kind]!(V);
    const topK = pick([undefined, 1, 50, V, 1 + random.integer(V)]);
    const settings = { temperature: pick(TEMPERATURES), topK, topP: pick(TOP_P), minP: pick(MIN_P) };
    const what = `${V} logits, ${JSON.stringify(settings)}`;
    expect(distribution(logits, settings), what).toEqual(sortedDistribution(logits, settings));
    const [ours, theirs] = [new Random(round), new Random(round)];
    for (let draw = 0; draw < 5; draw++) {
      expect(sample(logits, settings, ours), what).toBe(sortedSample(logits, settings, theirs));
    }
  }
});

test.each(['peaked', 'flat', 'all equal'])('%s, of a whole vocabulary', kind => {
  const logits = KINDS[kind]!(151_936);
  for (const settings of [{ topK: 50 }, { topP: 0.9 }, { topP: 0.999 }, { topK: 70_000, topP: 0.9 }, { minP: 0.05 }]) {
    const [ours, theirs] = [
      distribution(logits, { temperature: 0.8, ...settings }),
      sortedDistribution(logits, { temperature: 0.8, ...settings }),
    ];
    // compared as arrays of numbers: going through them one by one takes the test library seconds
    for (const part of ['ids', 'probabilities'] as const) {
      const [a, b] = [Float64Array.from(ours[part]), Float64Array.from(theirs[part])];
      expect(Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer)), `${part}, ${JSON.stringify(settings)}`).toBe(
        0,
      );
    }
  }
});
