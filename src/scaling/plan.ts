/** A plan: how a law splits compute, what the other strategy would do with it, and what CPT saves. */
import { type Allocation, allocate, type Budget, computeOf, hasOptimum } from './allocation.js';
import { interval } from './bootstrap.js';
import { figure } from './figure.js';
import { type LawParameters, lossAt } from './law.js';
import { savedAtOptimum, type Transfer, tokensWhereAhead, transferAt } from './transfer.js';

export type Span = readonly [number, number];

/** A law with what is known of it. */
export interface PlannedLaw {
  readonly name: string;
  readonly strategy: 'scratch' | 'cpt';
  readonly parameters: LawParameters;
  /** The bootstrap's replicates; without any, the plan has no intervals. */
  readonly samples: readonly LawParameters[];
  /** The range of the points that the law was fitted to. */
  readonly range: { readonly parameters: Span; readonly tokens: Span; readonly tokensPerParameter?: Span };
  readonly caveats: readonly string[];
  /** How laws with and without γ did at points held out, where the fit was made with --holdout. */
  readonly holdout?: {
    readonly best: string;
    readonly laws: readonly { readonly law: string; readonly heldOut: number; readonly parameters: LawParameters }[];
  };
}

export interface PlannedStrategy extends Allocation {
  readonly law: string;
  readonly strategy: 'scratch' | 'cpt';
  readonly tokensPerParameter: number;
  /** The 95% interval by the law's bootstrap; null where it has none. */
  readonly lossInterval: Span | null;
  readonly N_optInterval: Span | null;
  readonly D_optInterval: Span | null;
}

/** CPT against scratch at the size and tokens of CPT's optimum, or at those given. */
export interface PlannedSavings extends Transfer {
  readonly scratch: string;
  readonly cpt: string;
  readonly flopsSavedInterval: Span | null;
  /** The share of FLOPs saved between the optima of both laws, at the loss of CPT's optimum. */
  readonly flopsSavedAtOptimum: number | null;
  /** The tokens up to which CPT is ahead at this size; null where there is no such place. */
  readonly aheadUpTo: number | null;
}

/** A run for which parameters and tokens were both given. */
export interface GivenRun {
  readonly N: number;
  readonly D: number;
  readonly loss: number;
  readonly lossInterval: Span | null;
}

export interface Plan extends PlannedStrategy {
  readonly others: readonly PlannedStrategy[];
  readonly savings: readonly PlannedSavings[];
  readonly given: GivenRun | null;
  readonly warnings: readonly string[];
}

/**
 * Plans by `law`; `others` get the same compute.
 * @throws UserError when the budget is empty, or a law has no optimum
 * @example
 * import { makePlan, publishedLaws } from 'babelgrad';
 *
 * const law = publishedLaws.get('chinchilla');
 * if (law) console.log(makePlan({ compute: 1e20 }, law, []).N_opt); // parameters to train with 1e20 FLOPs
 */
export function makePlan(budget: Budget, law: PlannedLaw, others: readonly PlannedLaw[]): Plan {
  const C = computeOf(law.parameters, budget);
  const laws = [law, ...others];
  const strategies = laws.map(each => planStrategy(each, C));
  const { parameters: N, tokens: D } = budget;
  const given = N !== undefined && D !== undefined ? { N, D } : undefined;
  return {
    ...strategies[0]!,
    others: strategies.slice(1),
    savings: savingsOf(laws, strategies, given),
    given: given
      ? {
          ...given,
          loss: lossAt(law.parameters, given.N, given.D),
          lossInterval: lossInterval(law, given.N, given.D),
        }
      : null,
    warnings: [
      ...new Set(laws.flatMap(({ caveats }) => caveats)),
      ...laws.flatMap(each => withoutOptimum(each)),
      ...laws.flatMap((each, i) => outside(each, strategies[i]!, 'optimum')),
      ...(given ? outside(law, { N_opt: given.N, D_opt: given.D }, 'given run') : []),
      ...disagreement(law, given ?? { N: strategies[0]!.N_opt, D: strategies[0]!.D_opt }),
    ],
  };
}

function planStrategy(law: PlannedLaw, C: number): PlannedStrategy {
  const best = allocate(law.parameters, C);
  const optima = law.samples.filter(hasOptimum).map(sample => allocate(sample, C));
  const intervalOf = (of: (optimum: Allocation) => number) => interval(optima.map(of)) ?? null;
  return {
    law: law.name,
    strategy: law.strategy,
    ...best,
    tokensPerParameter: best.D_opt / best.N_opt,
    lossInterval: lossInterval(law, best.N_opt, best.D_opt),
    N_optInterval: intervalOf(({ N_opt }) => N_opt),
    D_optInterval: intervalOf(({ D_opt }) => D_opt),
  };
}

function lossInterval({ samples }: PlannedLaw, N: number, D: number): Span | null {
  return interval(samples.map(sample => lossAt(sample, N, D))) ?? null;
}

/** Returns the savings of each CPT law against each scratch law. */
function savingsOf(
  laws: readonly PlannedLaw[],
  strategies: readonly PlannedStrategy[],
  given: { N: number; D: number } | undefined,
): PlannedSavings[] {
  return laws.flatMap((cpt, i) => {
    if (cpt.strategy !== 'cpt') return [];
    const { C, N_opt, D_opt } = strategies[i]!;
    const { N, D } = given ?? { N: N_opt, D: D_opt };
    return laws.flatMap((scratch): PlannedSavings[] => {
      if (scratch.strategy !== 'scratch') return [];
      const pairs = scratch.samples.length > 0 ? cpt.samples : [];
      const saved = pairs.map((sample, r) => {
        const from = scratch.samples[r % scratch.samples.length]!;
        return transferAt(from, sample, N, D).flopsSaved ?? Number.NaN;
      });
      return [
        {
          scratch: scratch.name,
          cpt: cpt.name,
          ...transferAt(scratch.parameters, cpt.parameters, N, D),
          flopsSavedInterval: interval(saved) ?? null,
          flopsSavedAtOptimum: savedAtOptimum(scratch.parameters, cpt.parameters, C) ?? null,
          aheadUpTo: tokensWhereAhead(scratch.parameters, cpt.parameters, N) ?? null,
        },
      ];
    });
  });
}

function withoutOptimum({ name, samples }: PlannedLaw): string[] {
  const count = samples.filter(sample => !hasOptimum(sample)).length;
  if (count === 0) return [];
  return [
    `${count} of the ${samples.length} bootstrap replicates of '${name}' have no best split of compute; ` +
      'the intervals of N_opt ' +
      'and D_opt leave them out and are too narrow',
  ];
}

/** Says where the laws that were compared at points held out differ by more than the error they had there. */
function disagreement({ name, holdout }: PlannedLaw, { N, D }: { readonly N: number; readonly D: number }): string[] {
  if (!holdout) return [];
  const each = holdout.laws.map(({ law, heldOut, parameters }) => ({ law, heldOut, loss: lossAt(parameters, N, D) }));
  const losses = each.map(({ loss }) => loss);
  const apart = Math.log(Math.max(...losses) / Math.min(...losses));
  if (apart <= Math.max(...each.map(({ heldOut }) => heldOut))) return [];
  const shown = each.map(({ law, loss, heldOut }) => `${law} ${loss.toFixed(4)} (${(100 * heldOut).toFixed(2)}%)`);
  return [
    `the laws fitted for '${name}' disagree at ${figure(N)} parameters and ${figure(D)} tokens by more than their ` +
      `error at points held out (in brackets): ${shown.join(', ')}; '${holdout.best}' predicted those best`,
  ];
}

/** Says in one sentence each where a plan leaves the range that a law was fitted to. */
function outside(law: PlannedLaw, at: { readonly N_opt: number; readonly D_opt: number }, what: string): string[] {
  const { parameters, tokens, tokensPerParameter } = law.range;
  const checks: readonly [string, number, Span | undefined][] = [
    ['parameters', at.N_opt, parameters],
    ['tokens', at.D_opt, tokens],
    ['tokens per parameter', at.D_opt / at.N_opt, tokensPerParameter],
  ];
  // a share of 1e-9 on either side is rounding
  const left = checks.flatMap(([name, value, span]) =>
    span && (value < span[0] * (1 - 1e-9) || value > span[1] * (1 + 1e-9))
      ? [`${figure(value)} ${name} (fitted: ${figure(span[0])} to ${figure(span[1])})`]
      : [],
  );
  return left.length > 0 ? [`extrapolation: the ${what} of '${law.name}' has ${left.join(', ')}`] : [];
}
