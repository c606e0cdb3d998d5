/** The points of a study: a row for each evaluation of each run, in the columns that `fit` reads. */
import { stringify } from 'csv-stringify/sync';
import { isStaged, meanShares } from '../data/shares.js';
import { sourceOf } from './engine.js';
import { isContinued } from './file.js';
import { lineOf } from './planned-run.js';
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
  'copy',
  'induction',
  'sourceCopy',
  'sourceInduction',
  'learningRate',
  'sourceTokensPerParameter',
  'sourceEnd',
  'replay',
  'account',
  'rank',
  'warmupTokens',
  'annealed',
] as const;

/** A row of points.csv; it leaves out what a run does not have. */
export interface StudyPoint {
  /** The name of the run, or of the line that it is a part of. */
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
  /** The held-out loss in the source language, if this is a CPT or LoRA run. */
  readonly sourceLoss?: number;
  /** The accuracies of a probe at the same step, with the tokens of the run's own language. */
  readonly copy?: number;
  readonly induction?: number;
  /** Those with the tokens of the source language, if this is a CPT or LoRA run. */
  readonly sourceCopy?: number;
  readonly sourceInduction?: number;
  readonly learningRate: number;
  readonly sourceTokensPerParameter?: number;
  /** The tokens per parameter of the source's end that the line starts from, where it is not the last. */
  readonly sourceEnd?: number;
  /** The share of source-language tokens in the whole run: the mean share where it changes. */
  readonly replay: number;
  readonly account?: string;
  /** The rank of the adapters of a LoRA run. */
  readonly rank?: number;
  readonly warmupTokens: number;
  /** Whether the learning rate had been decayed to its end. */
  readonly annealed: boolean;
}

/**
 * Returns the points of all runs that have started. An evaluation before the first step gives none: the laws know no D
 * of 0.
 */
export function studyPoints(study: Study): StudyPoint[] {
  const byName: RunsByName = new Map(study.runs.map(run => [run.name, run]));
  return study.runs.flatMap(run => pointsOf(run, study.source, byName));
}

type RunsByName = ReadonlyMap<string, StudyRun>;

/** Returns the run that a run starts from. */
const startOf = (run: StudyRun, runs: RunsByName): StudyRun | undefined => runs.get(sourceOf(run) ?? '');

interface Trained {
  readonly tokens: number;
  readonly flops: number;
}

/** Returns what the parts of a line that come before this one were trained. */
function trainedBefore(run: StudyRun, runs: RunsByName): Trained {
  const start = startOf(run, runs);
  return start && lineOf(start) === lineOf(run) ? trainedAfter(start, runs) : { tokens: 0, flops: 0 };
}

/** Returns what a line was trained up to the end of this part. */
function trainedAfter(run: StudyRun, runs: RunsByName): Trained {
  const before = trainedBefore(run, runs);
  const { tokens = 0, flops = 0 } = run.record?.evaluations.at(-1) ?? {};
  return { tokens: before.tokens + tokens, flops: before.flops + flops };
}

/** Returns the tokens per parameter of the model that a CPT or LoRA run, or its line, starts from. */
function sourceTokensPerParameter(run: StudyRun, runs: RunsByName): number | undefined {
  if (!isContinued(run.strategy)) return undefined;
  const start = startOf(run, runs);
  if (!start?.part) return run.record!.config.source?.tokensPerParameter;
  if (lineOf(start) === lineOf(run)) return sourceTokensPerParameter(start, runs);
  return trainedAfter(start, runs).tokens / start.record!.config.parameters.total;
}

function pointsOf(run: StudyRun, source: string | undefined, runs: RunsByName): StudyPoint[] {
  const { record } = run;
  if (!record) return [];
  const { config, evaluations, probes } = record;
  const { total, withoutEmbeddings, nominal } = config.parameters;
  const millions = /^(\d+)M$/.exec(nominal ?? '');
  const decays = config.schedule.schedule !== 'constant';
  const steps = Math.round(config.tokens / config.batchTokens);
  const before = trainedBefore(run, runs);
  const ofSource = sourceTokensPerParameter(run, runs);
  return evaluations.flatMap(({ step, tokens: own, flops, heldOut }) => {
    const found = heldOut[run.language];
    if (own === 0 || !found) return [];
    const tokens = before.tokens + own;
    const shares = meanShares(run.config.sources, Math.min(1, tokens / config.tokens));
    const uniqueTokens = uniqueOf(
      config.sources.map(({ trainTokens }) => trainTokens),
      shares,
      tokens,
    );
    const other = isContinued(run.strategy) ? source : undefined;
    const sourceLoss = other === undefined ? undefined : heldOut[other]?.loss;
    const probed = probes.find(probe => probe.step === step)?.probes;
    const ownProbe = probed?.[run.language];
    const sourceProbe = other === undefined ? undefined : probed?.[other];
    return [
      {
        run: lineOf(run),
        strategy: run.strategy,
        language: run.language,
        size: run.size,
        seed: run.seed,
        parameters: total,
        ...(millions && { nominal: Number(millions[1]) * 1e6 }),
        total,
        withoutEmbeddings,
        tokens,
        targetTokens: Math.round(tokens * (isStaged(run.config.sources) ? shares[0]! : 1 - run.replay)),
        ...(uniqueTokens !== undefined && { uniqueTokens }),
        flops: flops + before.flops,
        loss: found.loss,
        ...(sourceLoss !== undefined && { sourceLoss }),
        ...(ownProbe && { copy: ownProbe.copy.accuracy, induction: ownProbe.induction.accuracy }),
        ...(sourceProbe && { sourceCopy: sourceProbe.copy.accuracy, sourceInduction: sourceProbe.induction.accuracy }),
        learningRate: config.schedule.learningRate,
        ...(ofSource !== undefined && { sourceTokensPerParameter: ofSource }),
        ...(run.sourceEnd !== undefined && { sourceEnd: run.sourceEnd }),
        replay: run.replay,
        ...(run.account && { account: run.account }),
        ...(run.rank !== undefined && { rank: run.rank }),
        warmupTokens: Math.round(config.schedule.warmup * steps) * config.batchTokens,
        annealed: decays && step === steps,
      },
    ];
  });
}

/**
 * Returns how many tokens differ of those drawn by `shares` from sources of so many; undefined where a source does not
 * say how many it has.
 */
function uniqueOf(trainTokens: readonly unknown[], shares: readonly number[], tokens: number): number | undefined {
  const each = trainTokens.map((count, i) =>
    typeof count === 'number' ? Math.min(shares[i]! * tokens, count) : Number.NaN,
  );
  const sum = Math.round(each.reduce((a, b) => a + b, 0));
  return Number.isFinite(sum) ? sum : undefined;
}

/** Returns the text of points.csv, with a header. */
export function pointsCsv(points: readonly StudyPoint[]): string {
  return stringify([...points], { header: true, columns: [...columns], cast: { boolean: String } });
}

/** Whether runs have several annealed ends: these are then what the runs are compared by, and not what lies between. */
export function haveEnds(points: readonly StudyPoint[]): boolean {
  const ended = new Set<string>();
  return points.some(({ run, annealed }) => annealed && (ended.has(run) || !ended.add(run)));
}
