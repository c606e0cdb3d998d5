/** Choosing a token: logits to a distribution in float64, and a draw from it. */
import { UserError } from '../errors.js';
import type { Random } from '../random.js';

/** How a token is chosen. Each filter works on what the ones before it left, in this order. */
export interface SamplingSettings {
  /** Logits are divided by it; 0 takes the likeliest token always. */
  readonly temperature: number;
  /** Keeps this many of the likeliest tokens. */
  readonly topK?: number | undefined;
  /** Keeps the fewest likeliest tokens whose probabilities come to this much, 0 < topP ≤ 1 (Holtzman et al., 2020). */
  readonly topP?: number | undefined;
  /** Keeps tokens of at least this share of the likeliest one's probability, 0 ≤ minP ≤ 1 (Nguyen et al., 2024). */
  readonly minP?: number | undefined;
}

/** Tokens that may be chosen, and their probabilities, which sum to 1. */
export interface Distribution {
  readonly ids: readonly number[];
  readonly probabilities: readonly number[];
}

/** @throws UserError naming the setting, its value and what it must be. */
export function checkSampling({ temperature, topK, topP, minP }: SamplingSettings): void {
  const refuse = (name: string, value: number, what: string) => {
    throw new UserError(`${name} is ${value}; it must be ${what}`);
  };
  if (!(temperature >= 0 && Number.isFinite(temperature))) refuse('temperature', temperature, 'a number of at least 0');
  if (topK !== undefined && !(Number.isInteger(topK) && topK >= 1)) refuse('top-k', topK, 'a whole number above 0');
  if (topP !== undefined && !(topP > 0 && topP <= 1)) refuse('top-p', topP, 'above 0 and at most 1');
  if (minP !== undefined && !(minP >= 0 && minP <= 1)) refuse('min-p', minP, 'from 0 to 1');
  if (temperature === 0 && [topK, topP, minP].some(setting => setting !== undefined)) {
    throw new UserError('top-k, top-p and min-p choose among tokens by chance; give a temperature above 0 with them');
  }
}

/** @throws Error when a logit is not a finite number. */
function checkFinite(logits: Float32Array): void {
  const index = logits.findIndex(logit => !Number.isFinite(logit));
  if (index >= 0) throw new Error(`the logit of token ${index} is ${logits[index]}: the model is not sound`);
}

/** The likeliest token; of equal ones the lowest id. */
export function likeliest(logits: Float32Array): number {
  checkFinite(logits);
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

/**
 * The distribution that a token is drawn from, at a temperature above 0: temperature, then top-k, top-p and min-p, as in
 * Hugging Face's `generate`, each on the renormalised probabilities that the one before left. Of equally likely tokens
 * the lower ids are kept; at least one token is. In order of id.
 */
export function distribution(logits: Float32Array, settings: SamplingSettings): Distribution {
  checkFinite(logits);
  const { temperature, topK = logits.length, topP = 1, minP = 0 } = settings;
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const weights = Float64Array.from(logits, logit => Math.exp((logit - largest) / temperature));
  const isFiltered = topK < logits.length || topP < 1;
  const likely = isFiltered ? likeliestOf(weights, Math.min(topK, logits.length), topP) : [...weights.keys()];
  const ids = likely.filter(id => weights[id]! >= minP); // the likeliest one's weight is 1
  const total = ids.reduce((sum, id) => sum + weights[id]!, 0);
  return { ids, probabilities: ids.map(id => weights[id]! / total) };
}

/** Of the `count` largest weights the fewest, largest first, that come to `share` of their sum; by id. */
function likeliestOf(weights: Float64Array, count: number, share: number): number[] {
  // plain numbers are sorted much faster than ids by a callback, which is left to those that can be kept
  const top = weights.slice().sort().subarray(-count);
  const total = top.reduce((sum, weight) => sum + weight, 0);
  const tail = ((1 - share) * total) / count; // weights below it come to less than 1 - share of the sum together
  const least = Math.max(top[0]!, tail);
  const ids: number[] = [];
  weights.forEach((weight, id) => {
    if (weight >= least) ids.push(id);
  });
  ids.sort((a, b) => weights[b]! - weights[a]! || a - b);
  let end = 0;
  for (let sum = 0; end < ids.length && (share === 1 || sum < share * total); end++) sum += weights[ids[end]!]!;
  return ids.slice(0, Math.min(count, end)).sort((a, b) => a - b);
}

/** A token by the settings; `random` is drawn from once, and not at all at temperature 0. */
export function sample(logits: Float32Array, settings: SamplingSettings, random: Random): number {
  if (settings.temperature === 0) return likeliest(logits);
  const { ids, probabilities } = distribution(logits, settings);
  let rest = random.uniform();
  for (const [i, probability] of probabilities.entries()) {
    rest -= probability;
    if (rest < 0) return ids[i]!;
  }
  return ids.at(-1)!; // the probabilities sum to 1 but for rounding
}
