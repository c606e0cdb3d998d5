/** The mixture that a run draws its sequences from. */
import { Mixture } from '../data/mixture.js';
import type { ResolvedRun } from './resolved.js';
import type { Data } from './run-data.js';

/** Returns the mixture of a run at its beginning. */
export function mixtureOf(run: ResolvedRun, data: Pick<Data, 'sources'>, seed = run.dataSeed): Mixture {
  const { contextLength, tokens } = run;
  const sources = run.sources.map(({ name, weight, stages }, i) => ({
    name,
    weight: stages ?? weight,
    tokens: data.sources[i]!.tokens,
  }));
  return new Mixture(sources, { seed, contextLength, sequences: tokens / contextLength });
}
