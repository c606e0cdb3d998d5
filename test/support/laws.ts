/** The reference study's laws, and points that lie on a law, with or without noise. */
import { Random } from '../../src/random.js';
import { type LawParameters, lossAt } from '../../src/scaling/law.js';

export const scratchLaw: LawParameters = { E: 1.55, A: 420, B: 719.5, alpha: 0.4, beta: 0.3, gamma: 0 };
export const cptLaw: LawParameters = { E: 1.55, A: 420, B: 433.3, alpha: 0.4, beta: 0.2, gamma: 0.08 };

/** 14 sizes from 49M to 5.5B parameters, each at these tokens per parameter; `noise` is the deviation of ln L. */
export function pointsOn(law: LawParameters, ratios: readonly number[], { noise = 0, seed = 0 } = {}) {
  const random = new Random(seed, 'noise');
  return Array.from({ length: 14 }, (_, i) => Math.round(49e6 * (5534 / 49) ** (i / 13))).flatMap(parameters =>
    ratios.map(ratio => {
      const tokens = ratio * parameters;
      const loss = lossAt(law, parameters, tokens) * Math.exp(noise * random.normal());
      return { parameters, tokens, loss, run: `run-${parameters}` };
    }),
  );
}

export const ALONG_RUNS = [1, 2, 4, 8, 14, 20];
