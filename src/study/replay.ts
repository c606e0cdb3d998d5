/** Replay in a study: its accounts, and the stages of one that changes along a run. */
import { z } from 'zod';
import { faultOfStages, meanShares, type WeightStage } from '../data/shares.js';
import { percent } from '../report/numbers.js';

/**
 * How replay is paid for: `extra` keeps the target language's tokens and adds the replayed ones; `budget` takes the
 * replayed tokens out of the same number of tokens.
 */
export const ACCOUNTS = ['extra', 'budget'] as const;
export type ReplayAccount = (typeof ACCOUNTS)[number];

/** Replay along a part of a run: its ratio, or that at its beginning and, after a linear change, that at its end. */
const stageSchema = z.strictObject({
  until: z.number(),
  ratio: z.number().max(1),
  to: z.number().max(1).optional(),
});
export type ReplayStage = z.infer<typeof stageSchema>;

/** Replay is given as ratios, a run for each, or as the stages of one run. */
export const replayFields = {
  ratios: z.array(z.number().gt(0).lt(1)).min(1).optional(),
  stages: z.array(stageSchema).optional(),
  account: z.array(z.enum(ACCOUNTS)).min(1).default(['extra']),
};

/** Says what is wrong with an entry of replay, and where; undefined where nothing is. */
export function faultOfReplay({
  ratios,
  stages,
}: {
  readonly ratios?: readonly number[] | undefined;
  readonly stages?: readonly ReplayStage[] | undefined;
}): { readonly path: string[]; readonly message: string } | undefined {
  if ((ratios === undefined) === (stages === undefined)) return { path: [], message: 'give ratios, or stages' };
  const fault = stages && (faultOfStages(sourceStages(stages)) ?? faultOfStages(targetStages(stages)));
  return fault === undefined ? undefined : { path: ['stages'], message: fault };
}

/** The weights of the source language, which is replayed. */
export const sourceStages = (stages: readonly ReplayStage[]): WeightStage[] =>
  stages.map(({ until, ratio, to }) => ({ until, weight: ratio, ...(to !== undefined && { to }) }));

/** The weights of the target language. */
export const targetStages = (stages: readonly ReplayStage[]): WeightStage[] =>
  stages.map(({ until, ratio, to }) => ({ until, weight: 1 - ratio, ...(to !== undefined && { to: 1 - to }) }));

/** Returns the share of replay in the whole run. */
export function meanRatio(stages: readonly ReplayStage[]): number {
  const [mean] = meanShares([{ weight: sourceStages(stages) }, { weight: targetStages(stages) }]);
  return Number(mean!.toPrecision(12)); // 0.076 and not 0.07600000000000001
}

/** Names stages in the name of their run: `0.3until0.2+0.02to0.1until1`. */
export const nameOfStages = (stages: readonly ReplayStage[]): string =>
  stages.map(({ until, ratio, to }) => `${ratio}${to === undefined ? '' : `to${to}`}until${until}`).join('+');

/** Returns the stages in the name of a run, in words: 30% to 0.2, 2% … 10% to 1; undefined where it has none. */
export function stagesInName(run: string): string | undefined {
  const [, named] = /-replay([^-]*until[^-]*)-/.exec(run) ?? [];
  return named
    ?.split('+')
    .map(stage => {
      const [, from, to, until] = /^([\d.]+)(?:to([\d.]+))?until([\d.]+)$/.exec(stage) ?? [];
      const share = to === undefined ? percent(Number(from)) : `${percent(Number(from))} … ${percent(Number(to))}`;
      return `${share} to ${until}`;
    })
    .join(', ');
}
