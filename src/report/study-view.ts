/** A study as its page shows it: plain data, so that it can come from run folders or from a table of points alone. */
import type { ComputeFit } from '../scaling/compute-line.js';
import type { LawFitResult } from '../scaling/fit-result.js';
import type { HoldoutResult } from '../scaling/holdout.js';
import type { Used } from '../scaling/points.js';
import { type CurvePoint, firstReaches, type Savings, savingsAtEqualLoss } from '../scaling/savings.js';
import { percent } from './numbers.js';

/** A fit and the rows that it used, or why there is none. */
export type Fitting<Fit> = { readonly fit: Fit; readonly used: Used } | { readonly missing: string };

/** How the laws of a strategy predict points that neither they nor the law of scratch was fitted to. */
export interface StudyHoldout {
  readonly strategy: 'scratch' | 'cpt';
  readonly result: HoldoutResult | { readonly missing: string };
  readonly holdout: 'largest' | 'last';
}

/** The laws of one target language. */
export interface LanguageFits {
  readonly language: string;
  readonly scratch: Fitting<LawFitResult>;
  readonly cpt: Fitting<LawFitResult>;
  readonly scratchCompute: Fitting<ComputeFit>;
  readonly cptCompute: Fitting<ComputeFit>;
  readonly heldOut: readonly StudyHoldout[];
}

export interface StudyCurvePoint extends CurvePoint {
  /** The loss in the source language, if this is a CPT or LoRA run. */
  readonly sourceLoss?: number;
  /** Accuracies of probes with tokens of the run's own language and, after CPT or LoRA, of the source language. */
  readonly copy?: number;
  readonly induction?: number;
  readonly sourceCopy?: number;
  readonly sourceInduction?: number;
}

/** The held-out loss of one run in its own language, by tokens. */
export interface StudyCurve {
  readonly run: string;
  readonly strategy: string;
  readonly language: string;
  readonly size: string;
  /** The number of all parameters; a tied head counts once. */
  readonly parameters: number;
  readonly seed: number;
  /** The share of source-language tokens, 0 to 1. */
  readonly replay: number;
  readonly account?: string;
  /** The rank of the adapters of a LoRA run. */
  readonly rank?: number;
  /** How the share changes along the run, as its name says it: `replay` is then its mean. */
  readonly stages?: string;
  /** The tokens per parameter of the source's end that CPT starts from, where it is not the last. */
  readonly sourceEnd?: number;
  readonly points: readonly StudyCurvePoint[];
  /** Whether the curve reaches the end of the run. */
  readonly isDone: boolean;
  /** The loss in the source language before the first step, if this is a CPT or LoRA run. */
  readonly sourceLossBefore?: number;
}

/** A run in the table of runs. */
export interface StudyRow {
  readonly run: string;
  readonly state: string;
  /** The share of its steps that are done, 0 to 1. */
  readonly progress: number;
  readonly error?: string;
  readonly size: string;
  readonly strategy: string;
  readonly language: string;
  readonly replay: number;
  readonly account?: string;
  readonly seed: number;
}

export interface StudyView {
  readonly name: string;
  readonly source?: string;
  readonly targets: readonly string[];
  readonly curves: readonly StudyCurve[];
  /** CPT from earlier ends of the source, which stands in no other curve. */
  readonly fromEarlier: readonly StudyCurve[];
  readonly fits: readonly LanguageFits[];
  /** Whether the points of curves are annealed ends, and not evaluations along runs. */
  readonly areEnds: boolean;
  /** The runs; empty where only points are known. */
  readonly rows: readonly StudyRow[];
}

/** Groups curves that differ in their seed alone. */
export function bySeed(curves: readonly StudyCurve[]): StudyCurve[][] {
  const groups = new Map<string, StudyCurve[]>();
  for (const curve of curves) {
    const { strategy, language, size, rank, replay, account, stages } = curve;
    const key = JSON.stringify([strategy, language, size, rank, replay, account, stages]);
    groups.set(key, [...(groups.get(key) ?? []), curve]);
  }
  return [...groups.values()];
}

/** Says a curve's share of replay. */
export const shareOf = ({ replay, stages }: Pick<StudyCurve, 'replay' | 'stages'>): string =>
  stages === undefined ? percent(replay) : `${percent(replay)} on average (${stages})`;

/** Says what a curve's run is: from scratch, or CPT or LoRA with its share of replay. */
export const kindOf = (curve: Pick<StudyCurve, 'strategy' | 'rank' | 'replay' | 'stages'>): string => {
  if (curve.strategy === 'scratch') return 'from scratch';
  const method = curve.rank === undefined ? 'CPT' : rankOf(curve.rank);
  return curve.replay === 0 ? method : `${method}, ${shareOf(curve)} replay`;
};

export const rankOf = (rank: number): string => `LoRA, rank ${rank}`;

/** Returns the ranks of the adapters, lowest first. */
export const ranksOf = (curves: readonly StudyCurve[]): number[] =>
  [...new Set(curves.flatMap(({ rank }) => rank ?? []))].sort((a, b) => a - b);

/** Returns the names of the sizes, smallest first. */
export function sizesOf(curves: readonly StudyCurve[]): string[] {
  const sorted = [...curves].sort((a, b) => a.parameters - b.parameters);
  return [...new Set(sorted.map(({ size }) => size))];
}

/** A run from scratch and a CPT run without replay, of one language, size and seed. */
export interface Pair {
  readonly scratch: StudyCurve;
  readonly cpt: StudyCurve;
}

export function pairsOf(curves: readonly StudyCurve[], language: string): Pair[] {
  return curves.flatMap(scratch => {
    if (scratch.strategy !== 'scratch' || scratch.language !== language || scratch.points.length === 0) return [];
    const cpt = curves.find(
      ({ strategy, language, size, seed, replay, points }) =>
        strategy === 'cpt' &&
        replay === 0 &&
        language === scratch.language &&
        size === scratch.size &&
        seed === scratch.seed &&
        points.length > 0,
    );
    return cpt ? [{ scratch, cpt }] : [];
  });
}

/** Returns the pairs whose run from scratch is done, so that its lowest loss stays. */
export const finalPairsOf = (curves: readonly StudyCurve[], language: string): Pair[] =>
  pairsOf(curves, language).filter(({ scratch }) => scratch.isDone);

export const savingsOf = ({ scratch, cpt }: Pair): Savings => savingsAtEqualLoss(scratch.points, cpt.points)!;

/** Returns how much lower CPT ends than scratch after the same tokens, in nats; undefined where that is not known. */
export function gainOf({ scratch, cpt }: Pair): number | undefined {
  const last = cpt.points.at(-1)!;
  const same = scratch.points.find(({ tokens }) => tokens === last.tokens);
  return same && same.loss - last.loss;
}

/** CPT after `tokens`, and how many tokens scratch needed for the same loss. */
export interface TransferPoint {
  readonly loss: number;
  readonly tokens: number;
  readonly scratchTokens: number;
}

/**
 * Returns the transfer along a CPT run, at each point that is lower than all before and that the scratch run reached
 * too. Nothing is known where scratch never came so low, or was as low at its first point.
 */
export function transferAlong({ scratch, cpt }: Pair): TransferPoint[] {
  let lowest = Number.POSITIVE_INFINITY;
  return cpt.points.flatMap(({ loss, tokens }) => {
    if (loss >= lowest) return [];
    lowest = loss;
    const reached = loss < scratch.points[0]!.loss ? firstReaches(scratch.points, loss) : undefined;
    return reached ? [{ loss, tokens, scratchTokens: reached.tokens }] : [];
  });
}

/** Returns how much the source language's loss rose over a run; undefined where start or end is not known. */
export function sourceLossRise({ points, sourceLossBefore }: StudyCurve): number | undefined {
  const last = points.at(-1)?.sourceLoss;
  return last === undefined || sourceLossBefore === undefined ? undefined : last - sourceLossBefore;
}
