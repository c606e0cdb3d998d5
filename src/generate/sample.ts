/** Chooses a token: from logits to a distribution in float64, and a draw from it. */
import { UserError } from '../errors.js';
import type { Random } from '../random.js';
import { type Cut, findCut } from './cut.js';

/** How a token is chosen. Each filter works on what the ones before it left, in this order. */
export interface SamplingSettings {
  /** Logits are divided by the temperature; 0 always takes the likeliest token. */
  readonly temperature: number;
  /** Top-k keeps this many of the likeliest tokens. */
  readonly topK?: number | undefined;
  /**
   * Top-p keeps the fewest likeliest tokens whose probabilities come to this much, 0 < topP ≤ 1 (Holtzman et al.,
   * 2020).
   */
  readonly topP?: number | undefined;
  /**
   * Min-p keeps tokens of at least this share of the likeliest one's probability, 0 ≤ minP ≤ 1 (Nguyen et al., 2024).
   */
  readonly minP?: number | undefined;
}

/** The tokens that may be chosen, and their probabilities, which sum to 1. */
export interface Distribution {
  readonly ids: readonly number[];
  readonly probabilities: readonly number[];
}

/** Checks the settings. @throws UserError naming the setting, its value and what it must be. */
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

/** Checks that logits are numbers. @throws Error when a logit is not a finite number. */
function checkFinite(logits: Float32Array): void {
  for (let id = 0; id < logits.length; id++) {
    if (Number.isFinite(logits[id])) continue;
    throw new Error(`the logit of token ${id} is ${logits[id]}: the model is not sound`);
  }
}

/** Returns the likeliest token, and of equally likely ones the lowest id. */
export function likeliest(logits: Float32Array): number {
  checkFinite(logits);
  let best = 0;
  for (let id = 1; id < logits.length; id++) if (logits[id]! > logits[best]!) best = id;
  return best;
}

/**
 * Returns the distribution that a token is drawn from, at a temperature above 0, in order of id. The temperature
 * applies first, then top-k, top-p and min-p, as in Hugging Face's `generate`, each on the renormalised probabilities
 * that the one before left. Of equally likely tokens the lower ids are kept; at least one token is.
 */
export function distribution(logits: Float32Array, settings: SamplingSettings): Distribution {
  const { ids, weights, total } = candidates(logits, settings);
  return { ids: [...ids], probabilities: Array.from(ids, id => weights[id]! / total) };
}

/**
 * Returns the ids of the tokens that may be chosen, in order; the weight of every token [V], the largest being 1; and
 * their sum.
 */
function candidates(logits: Float32Array, { temperature, topK, topP = 1, minP = 0 }: SamplingSettings) {
  const count = Math.min(topK ?? logits.length, logits.length);
  const weights = weightsOf(logits, temperature);
  const cut = count < logits.length || topP < 1 ? findCut(weights, count, topP) : { weight: 0, ties: logits.length };
  return { weights, ...keep(weights, cut, minP) };
}

// Each loop over the vocabulary has its own function: the engine would compile one of several loops again and again.

function weightsOf(logits: Float32Array, temperature: number): Float64Array {
  const largest = logits[likeliest(logits)]!;
  const weights = new Float64Array(logits.length);
  for (let id = 0; id < logits.length; id++) weights[id] = Math.exp((logits[id]! - largest) / temperature);
  return weights;
}

function keep(weights: Float64Array, cut: Cut, least: number): { readonly ids: Uint32Array; readonly total: number } {
  const ids = new Uint32Array(weights.length);
  let [count, total, ties] = [0, 0, cut.ties];
  for (let id = 0; id < weights.length; id++) {
    const weight = weights[id]!;
    if (weight < cut.weight || (weight === cut.weight && ties-- <= 0) || weight < least) continue;
    ids[count++] = id;
    total += weight;
  }
  return { ids: ids.subarray(0, count), total };
}

/** Chooses a token by the settings. It draws from `random` once, and not at all at temperature 0. */
export function sample(logits: Float32Array, settings: SamplingSettings, random: Random): number {
  if (settings.temperature === 0) return likeliest(logits);
  const { ids, weights, total } = candidates(logits, settings);
  let rest = random.uniform();
  for (let i = 0; i < ids.length; i++) {
    rest -= weights[ids[i]!]! / total;
    if (rest < 0) return ids[i]!;
  }
  return ids.at(-1)!; // the probabilities sum to 1 but for rounding
}
