/**
 * How often a run is evaluated, and on how many held-out tokens: by default for a bounded share of its FLOPs. This
 * depends on budget, context and held-out sets alone, and on whether there is an average of weights to evaluate. So
 * runs that are compared, from scratch and by CPT on the same data, are evaluated on the same tokens at the same steps.
 */
import type { BatchShape } from '../model/llama.js';
import type { RunConfig } from './config.js';

/**
 * The share of the training's FLOPs that evaluations are planned to take. A last batch that is not full is computed
 * whole, which adds at most a fifth: together this stays below a tenth.
 */
const PLANNED_SHARE = 0.08;
/** A forward pass is 2·N FLOPs a token, of the 6·N that training takes. */
const FORWARD = 1 / 3;
/** The number of evaluations after the first where they are cheap, and below it the number where they are not. */
const MOST_TIMES = 20;
const FEWEST_TIMES = 8;
/** The tokens of a language beyond which it is better to look more often than at more text. */
const ENOUGH_TOKENS = 2 ** 15;

/** The size of one evaluation. */
export interface Evaluation {
  /** The held-out tokens of each language that are predicted. */
  readonly tokens: Readonly<Record<string, number>>;
  /** The number of sequences that are scored at once. */
  readonly batch: number;
}

export interface EvaluationChoice {
  /** The number of evaluations after the first; they are evenly spread. */
  readonly evaluations: number;
  /** How many of the first tokens of each held-out set are predicted; null for all. */
  readonly evalTokens: number | null;
  readonly evaluation: Evaluation;
}

/** What is known of a run when its evaluations are planned. */
export interface EvaluatedRun {
  readonly tokens: number;
  readonly steps: number;
  readonly contextLength: number;
  readonly microBatch: number;
  /** The tokens that each held-out set has to predict, by language. */
  readonly heldOut: ReadonlyMap<string, number>;
}

/** The models that an evaluation takes: the weights and, where a run keeps one, their average. */
const modelsOf = ({ emaDecay }: { readonly emaDecay?: number | undefined }): number => (emaDecay === undefined ? 1 : 2);

/**
 * Chooses the evaluations. It obeys the configuration; the rest is chosen so that it takes less than a tenth of the
 * FLOPs.
 */
export function chooseEvaluations(
  { evalEveryTokens, evalTokens: given, emaDecay }: Pick<RunConfig, 'evalEveryTokens' | 'evalTokens' | 'emaDecay'>,
  { tokens, steps, contextLength: T, microBatch, heldOut }: EvaluatedRun,
): EvaluationChoice {
  const sequencesIn = (count: number) => Math.ceil(count / T);
  const all = sequencesIn(Math.max(0, ...heldOut.values()));
  // these are the sequences of one language, in all evaluations together
  const affordable = Math.floor(
    (PLANNED_SHARE * tokens) / FORWARD / (modelsOf({ emaDecay }) * T * Math.max(1, heldOut.size)),
  );
  const enough = Math.max(1, Math.min(all, sequencesIn(given ?? ENOUGH_TOKENS)));
  const fewest = given === undefined ? Math.min(FEWEST_TIMES, affordable - 1) : 1;
  const chosen = Math.max(1, fewest, Math.min(MOST_TIMES, Math.floor(affordable / enough) - 1));
  const evaluations = times(evalEveryTokens, chosen, { tokens, steps });
  const sequences = Math.max(1, Math.floor(affordable / (evaluations + 1)));
  const evalTokens = given ?? (sequences >= all ? null : sequences * T);
  const predicted = [...heldOut].map(([language, count]) => [language, Math.min(count, evalTokens ?? count)] as const);
  const longest = sequencesIn(Math.max(0, ...predicted.map(([, count]) => count)));
  return {
    evaluations,
    evalTokens,
    evaluation: { tokens: Object.fromEntries(predicted), batch: evaluationBatch(longest, microBatch) },
  };
}

/** Returns how many times something happens after the start of a run: every so many tokens, or `standard` times. */
export const times = (
  every: number | undefined,
  standard: number,
  { tokens, steps }: { readonly tokens: number; readonly steps: number },
): number =>
  every === undefined ? Math.min(standard, steps) : Math.max(1, Math.min(steps, Math.round(tokens / every)));

/**
 * Returns how many sequences are scored at once: as many as a micro-batch has, or down to half of it where the last
 * batch is then fuller.
 */
export function evaluationBatch(sequences: number, microBatch: number): number {
  let best = Math.max(1, Math.min(sequences, microBatch));
  const computed = (batch: number) => Math.ceil(sequences / batch) * batch;
  for (let batch = best - 1; batch >= microBatch / 2; batch--) if (computed(batch) < computed(best)) best = batch;
  return best;
}

/** The parts of a resolved run that its evaluations depend on. */
export interface ResolvedEvaluations {
  readonly evaluations: number;
  readonly evaluation?: Evaluation | undefined;
  readonly emaDecay?: number | undefined;
  readonly tokens: number;
  readonly flopsPerToken: number;
  readonly microBatch: number;
  readonly contextLength: number;
}

/** The batch that a run is evaluated with; earlier runs had that of the training. */
export const evaluationShape = ({
  evaluation,
  microBatch,
  contextLength,
}: Pick<ResolvedEvaluations, 'evaluation' | 'microBatch' | 'contextLength'>): BatchShape => ({
  B: evaluation?.batch ?? microBatch,
  T: contextLength,
});

/** Returns what all evaluations of a run take; undefined for runs from before this was recorded. */
export function evaluationCost(
  run: ResolvedEvaluations,
): { readonly flops: number; readonly shareOfTraining: number } | undefined {
  if (!run.evaluation) return undefined;
  const { B, T } = evaluationShape(run);
  const sequences = Object.values(run.evaluation.tokens).reduce(
    (sum, tokens) => sum + Math.ceil(Math.ceil(tokens / T) / B) * B,
    0,
  );
  const flops = modelsOf(run) * (run.evaluations + 1) * sequences * T * run.flopsPerToken * FORWARD;
  return { flops, shareOfTraining: flops / (run.tokens * run.flopsPerToken) };
}
