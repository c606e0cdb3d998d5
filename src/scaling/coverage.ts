/**
 * How often a fit's intervals cover the truth: points are drawn from a law with noise, and intervals are made of each.
 */
import { Random } from '../random.js';
import { bootstrapLaws, interval, type RunPoint } from './bootstrap.js';
import { CHINCHILLA } from './fit.js';
import { type LawParameters, lossAt, type ParameterName, parameterNames } from './law.js';

export interface CoverageOptions {
  readonly draws: number;
  readonly replicates: number;
  /** The standard deviation of ln L. */
  readonly noise: number;
  /** The share that the intervals should cover. */
  readonly level: number;
  readonly seed: number;
}

/**
 * Returns the share of draws in which the interval of each parameter, and of the loss at (N, D), has the truth.
 * @param design the sizes and tokens of the points of each draw
 */
export function coverageOf(
  truth: LawParameters,
  design: readonly { readonly parameters: number; readonly tokens: number }[],
  at: { readonly N: number; readonly D: number },
  { draws, replicates, noise, level, seed }: CoverageOptions,
): Readonly<Partial<Record<ParameterName | 'loss', number>>> {
  const names = parameterNames.filter(name => CHINCHILLA.free.includes(name));
  const covered = new Map<ParameterName | 'loss', number>([...names, 'loss' as const].map(name => [name, 0]));
  const count = (name: ParameterName | 'loss', samples: readonly number[], value: number) => {
    const [low, high] = interval(samples, level)!;
    if (low <= value && value <= high) covered.set(name, covered.get(name)! + 1);
  };
  for (let d = 0; d < draws; d++) {
    const random = new Random(seed, 'coverage', d);
    const points = design.map(({ parameters, tokens }): RunPoint => {
      return { parameters, tokens, loss: lossAt(truth, parameters, tokens) * Math.exp(noise * random.normal()) };
    });
    const laws = bootstrapLaws(points, () => CHINCHILLA, { replicates, seed: seed + d, resample: 'rows' });
    for (const name of names)
      count(
        name,
        laws.map(law => law[name]),
        truth[name],
      );
    count(
      'loss',
      laws.map(law => lossAt(law, at.N, at.D)),
      lossAt(truth, at.N, at.D),
    );
  }
  return Object.fromEntries([...covered].map(([name, times]) => [name, times / draws]));
}
