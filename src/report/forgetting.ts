/** What CPT runs forgot of the source language, and what replay cost and kept. */
import { UserError } from '../errors.js';
import { type CurvePoint, firstReaches } from '../scaling/savings.js';
import { curveOf, type LossUnit, languagesOf, type RunRecord, targetOf, unitOf } from './runs.js';

export interface Forgetting {
  readonly run: RunRecord;
  readonly source: string;
  readonly target: string;
  /** The share of the source language in the mixture. */
  readonly replay: number;
  /** The unit of every loss here and of every change. */
  readonly unit: LossUnit;
  /**
   * The held-out losses along the run. The first point is the source model, as the run itself met it before its first
   * step.
   */
  readonly sourceCurve: readonly CurvePoint[];
  readonly targetCurve: readonly CurvePoint[];
  /**
   * The source loss at the end minus that at the start; positive is forgetting. This is the backward transfer of
   * Lopez-Paz and Ranzato (2017, arXiv 1706.08840) with losses in place of accuracies, and so with the opposite sign.
   */
  readonly backwardTransfer: number;
  /** The largest source loss along the way minus the one at the start, and after how many tokens. */
  readonly worst: { readonly change: number; readonly tokens: number };
}

/**
 * Returns the source language of a CPT run: the language that its source model was mostly trained on. The run may have
 * recorded it; else it is found beside the checkpoint, or among `runs` by the source's name.
 */
export function sourceLanguageOf(run: RunRecord, runs: readonly RunRecord[] = []): string | undefined {
  if (run.sourceLanguage !== undefined) return run.sourceLanguage;
  const { method, source } = run.config;
  const found = method === 'cpt' && runs.find(({ config }) => config.name === source?.name);
  return found ? targetOf(found) : undefined;
}

/**
 * Returns what a CPT run forgot of `source`.
 * @param unit the unit of the losses: bits per byte where runs with different vocabularies are shown together.
 * @throws UserError when the run is not CPT into another language, or was not evaluated in both languages twice.
 */
export function forgettingOf(run: RunRecord, source: string, unit: LossUnit = unitOf([run])): Forgetting {
  const { name, method, sources } = run.config;
  const target = targetOf(run);
  if (method !== 'cpt') throw new UserError(`'${name}' is a run from scratch: it has no source language to forget`);
  if (source === target) {
    throw new UserError(
      `'${name}' goes on with '${source}', its source language; forgetting is about another one: ` +
        'name one with --source-language',
    );
  }
  const curveIn = (language: string) => {
    const curve = curveOf(run, language, unit);
    if (curve.length >= 2) return curve;
    if (curveOf(run, language, 'nats per token').length >= 2) {
      throw new UserError(
        `'${name}' has no bits per byte beside its held-out losses in '${language}', ` +
          'and losses per token mean nothing where vocabularies differ',
      );
    }
    const known = languagesOf([run]).join(', ') || 'none';
    throw new UserError(
      `'${name}' has ${curve.length} evaluations in '${language}', and two are needed; its held-out languages: ` +
        `${known}. Add one to a run with --held-out.`,
    );
  };
  const [sourceCurve, targetCurve] = [curveIn(source), curveIn(target)];
  const total = sources.reduce((sum, { weight }) => sum + weight, 0);
  const replayed = sources.reduce((sum, each) => sum + (each.name === source ? each.weight : 0), 0);
  const start = sourceCurve[0]!.loss;
  const most = sourceCurve.reduce((a, b) => (b.loss > a.loss ? b : a));
  return {
    run,
    source,
    target,
    unit,
    replay: replayed / total,
    sourceCurve,
    targetCurve,
    backwardTransfer: sourceCurve.at(-1)!.loss - start,
    worst: { change: most.loss - start, tokens: most.tokens },
  };
}

/** Returns the forgetting of those runs for which it can be told, in one unit for all. */
export function knownForgetting(runs: readonly RunRecord[], sourceLanguage?: string): Forgetting[] {
  const unit = unitOf(runs);
  return runs.flatMap(run => {
    const source = sourceLanguage ?? sourceLanguageOf(run, runs);
    if (run.config.method !== 'cpt' || source === undefined || source === targetOf(run)) return [];
    const evaluated = [source, targetOf(run)].every(language => curveOf(run, language, unit).length >= 2);
    return evaluated ? [forgettingOf(run, source, unit)] : [];
  });
}

/** What a run's replay cost and kept, against the run of the same comparison with the least replay. */
export interface ReplayEffect {
  readonly forgetting: Forgetting;
  readonly targetLoss: number;
  readonly sourceLoss: number;
  /** Target loss above that of the run with the least replay. */
  readonly priceLoss: number;
  /**
   * Tokens that the run with the least replay did without to reach the same target loss; negative where replay was
   * ahead.
   */
  readonly priceTokens: number;
  /** Source loss below that of the run with the least replay. */
  readonly gain: number;
}

/** CPT runs from one checkpoint into one language that differ in how much they replayed. */
export interface ReplayComparison {
  readonly source: string;
  readonly target: string;
  readonly unit: LossUnit;
  /** The tokens at which all runs are compared: where the shortest ended. */
  readonly tokens: number;
  /** Whether some runs were to go on: their learning rate had then not come down as far. */
  readonly unequal: boolean;
  /** The effects, from the least replay to the most. */
  readonly effects: readonly ReplayEffect[];
}

/** Groups runs from one checkpoint into one language that count the same tokens and have at least two ratios. */
export function compareReplay(all: readonly Forgetting[]): ReplayComparison[] {
  const groups = new Map<string, Forgetting[]>();
  for (const each of all) {
    const { source, tokenizer } = each.run.config;
    const key = JSON.stringify([source?.checkpoint ?? source?.name, tokenizer, each.source, each.target]);
    groups.set(key, [...(groups.get(key) ?? []), each]);
  }
  return [...groups.values()].flatMap(group => {
    const sorted = [...group].sort((a, b) => a.replay - b.replay);
    return new Set(group.map(({ replay }) => replay)).size > 1 ? [comparisonOf(sorted)] : [];
  });
}

function comparisonOf(sorted: readonly Forgetting[]): ReplayComparison {
  const curves = sorted.flatMap(({ sourceCurve, targetCurve }) => [sourceCurve, targetCurve]);
  const tokens = Math.min(...curves.map(curve => curve.at(-1)!.tokens));
  const cut = sorted.map(({ sourceCurve, targetCurve }) => ({
    source: upTo(tokens, sourceCurve),
    target: upTo(tokens, targetCurve),
  }));
  const least = cut[0]!;
  const [leastSource, leastTarget] = [least.source.at(-1)!.loss, least.target.at(-1)!.loss];
  const effects = sorted.map((forgetting, i): ReplayEffect => {
    const { source, target } = cut[i]!;
    const [sourceLoss, targetLoss] = [source.at(-1)!.loss, target.at(-1)!.loss];
    const priceTokens =
      targetLoss >= leastTarget
        ? tokens - firstReaches(least.target, targetLoss)!.tokens
        : firstReaches(target, leastTarget)!.tokens - tokens;
    return {
      forgetting,
      targetLoss,
      sourceLoss,
      priceLoss: targetLoss - leastTarget,
      priceTokens,
      gain: leastSource - sourceLoss,
    };
  });
  const budgets = new Set(sorted.map(({ run }) => run.config.tokens));
  const { source, target, unit } = sorted[0]!;
  return { source, target, unit, tokens, unequal: budgets.size > 1, effects };
}

/** Returns a curve as far as `tokens`, where its loss is linear between the evaluations around. */
function upTo(tokens: number, curve: readonly CurvePoint[]): CurvePoint[] {
  const i = curve.findIndex(point => point.tokens >= tokens);
  const [before, after] = [curve[i - 1], curve[i]!];
  if (!before || after.tokens === tokens) return curve.slice(0, i + 1);
  const part = (tokens - before.tokens) / (after.tokens - before.tokens);
  const between = (of: 'flops' | 'loss') => before[of] + part * (after[of] - before[of]);
  return [...curve.slice(0, i), { tokens, flops: between('flops'), loss: between('loss') }];
}
