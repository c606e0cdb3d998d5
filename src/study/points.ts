/** The points of a study: a row for each evaluation of each run, in the columns that `fit` reads. */
import { stringify } from 'csv-stringify/sync';
import type { RunRecord } from '../report/runs.js';
import type { Study, StudyRun } from './state.js';

const columns = [
  'run',
  'strategy',
  'language',
  'size',
  'seed',
  'parameters',
  'nominal',
  'total',
  'withoutEmbeddings',
  'tokens',
  'targetTokens',
  'uniqueTokens',
  'flops',
  'loss',
  'sourceLoss',
  'learningRate',
  'sourceTokensPerParameter',
  'replay',
  'account',
  'warmupTokens',
  'annealed',
] as const;

/** A row of points.csv; it leaves out what a run does not have. */
export interface StudyPoint {
  readonly run: string;
  readonly strategy: string;
  readonly language: string;
  readonly size: string;
  readonly seed: number;
  /** N of the laws: all parameters, a tied head once. */
  readonly parameters: number;
  /** N by the reference study's count, if the size is one of that study's. */
  readonly nominal?: number;
  readonly total: number;
  readonly withoutEmbeddings: number;
  readonly tokens: number;
  /** The tokens of the target language, without those that were replayed. */
  readonly targetTokens: number;
  /** The different tokens among `tokens`, where the run's sources say how many they have. */
  readonly uniqueTokens?: number;
  readonly flops: number;
  /** The held-out loss in the run's own language, in nats per token. */
  readonly loss: number;
  /** The held-out loss in the source language, if this is a CPT run. */
  readonly sourceLoss?: number;
  readonly learningRate: number;
  readonly sourceTokensPerParameter?: number;
  readonly replay: number;
  readonly account?: string;
  readonly warmupTokens: number;
  /** Whether the learning rate had been decayed to its end. */
  readonly annealed: boolean;
}

/**
 * Returns the points of all runs that have started. An evaluation before the first step gives none: the laws know no D
 * of 0.
 */
export function studyPoints(study: Study): StudyPoint[] {
  return study.runs.flatMap(run => pointsOf(run, study.source));
}

function pointsOf(run: StudyRun, source: string | undefined): StudyPoint[] {
  const { record } = run;
  if (!record) return [];
  const { config, evaluations } = record;
  const { total, withoutEmbeddings, nominal } = config.parameters;
  const millions = /^(\d+)M$/.exec(nominal ?? '');
  const decays = config.schedule.schedule !== 'constant';
  const steps = Math.round(config.tokens / config.batchTokens);
  return evaluations.flatMap(({ step, tokens, flops, heldOut }) => {
    const found = heldOut[run.language];
    if (tokens === 0 || !found) return [];
    const uniqueTokens = uniqueOf(config.sources, tokens);
    const sourceLoss = run.strategy === 'cpt' && source !== undefined ? heldOut[source]?.loss : undefined;
    return [
      {
        run: run.name,
        strategy: run.strategy,
        language: run.language,
        size: run.size,
        seed: run.seed,
        parameters: total,
        ...(millions && { nominal: Number(millions[1]) * 1e6 }),
        total,
        withoutEmbeddings,
        tokens,
        targetTokens: Math.round(tokens * (1 - run.replay)),
        ...(uniqueTokens !== undefined && { uniqueTokens }),
        flops,
        loss: found.loss,
        ...(sourceLoss !== undefined && { sourceLoss }),
        learningRate: config.schedule.learningRate,
        ...(config.source && { sourceTokensPerParameter: config.source.tokensPerParameter }),
        replay: run.replay,
        ...(run.account && { account: run.account }),
        warmupTokens: Math.round(config.schedule.warmup * steps) * config.batchTokens,
        annealed: decays && step === steps,
      },
    ];
  });
}

/** Returns the tokens of each source up to all that it has; undefined where a source does not say how many it has. */
function uniqueOf(sources: RunRecord['config']['sources'], tokens: number): number | undefined {
  const total = sources.reduce((sum, { weight }) => sum + weight, 0);
  const each = sources.map(({ weight, trainTokens }) =>
    typeof trainTokens === 'number' ? Math.min((weight / total) * tokens, trainTokens) : Number.NaN,
  );
  const sum = Math.round(each.reduce((a, b) => a + b, 0));
  return Number.isFinite(sum) ? sum : undefined;
}

/** Returns the text of points.csv, with a header. */
export function pointsCsv(points: readonly StudyPoint[]): string {
  return stringify([...points], { header: true, columns: [...columns], cast: { boolean: String } });
}
