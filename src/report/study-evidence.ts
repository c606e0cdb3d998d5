/** What a study shows of each finding, as numbers with intervals over its runs. */
import { Matrix, solve } from 'ml-matrix';
import { mean } from '../mean.js';
import { Random } from '../random.js';
import { interval } from '../scaling/bootstrap.js';
import {
  bySeed,
  finalPairsOf,
  gainOf,
  pairsOf,
  type StudyCurve,
  type StudyView,
  savingsOf,
  sourceLossRise,
  transferAlong,
} from './study-view.js';

/** A number, and the middle 95% of what it is over resampled runs. */
export interface Estimate {
  readonly value: number;
  /** Absent where there are too few runs to draw from. */
  readonly interval?: readonly [number, number];
  /** How many runs, or pairs of runs, it is from. */
  readonly count: number;
}

const REPLICATES = 1000;
/** Fewer than this have no spread to speak of. */
const FEWEST = 3;

/** Returns a statistic of some runs; undefined where it has no value. */
export function estimate<Unit>(
  units: readonly Unit[],
  statistic: (units: readonly Unit[]) => number | undefined,
): Estimate | undefined {
  const value = statistic(units);
  if (value === undefined || !Number.isFinite(value)) return undefined;
  if (units.length < FEWEST) return { value, count: units.length };
  const random = new Random(0, 'findings');
  const drawn = Array.from(
    { length: REPLICATES },
    () => statistic(units.map(() => units[random.integer(units.length)]!)) ?? Number.NaN,
  );
  const found = interval(drawn);
  return { value, count: units.length, ...(found && { interval: found }) };
}

const meanOf = (units: readonly number[]): Estimate | undefined =>
  units.length > 0 ? estimate(units, mean) : undefined;

export interface SavingsEvidence {
  /** The share of FLOPs saved at the first loss that both reach, at the lowest of scratch, and by how much it falls. */
  readonly first?: Estimate | undefined;
  readonly last: Estimate;
  readonly fall?: Estimate | undefined;
  /** How many pairs there are, and in how many CPT reached the lowest loss of scratch. */
  readonly pairs: number;
  readonly reached: number;
}

/** Returns what CPT saved; a pair in which it never reached the lowest loss of scratch saved nothing there. */
export function savingsEvidence({ curves }: StudyView, language: string): SavingsEvidence | undefined {
  const pairs = finalPairsOf(curves, language).filter(pair => pair.cpt.isDone || savingsOf(pair).cpt);
  if (pairs.length === 0) return undefined;
  const saved = pairs.map(pair => {
    const start = transferAlong(pair)[0];
    return { start: start && 1 - start.tokens / start.scratchTokens, end: savingsOf(pair).savedFlops ?? 0 };
  });
  const both = saved.flatMap(({ start, end }) => (start === undefined ? [] : [{ start, end }]));
  return {
    first: meanOf(both.map(({ start }) => start)),
    last: meanOf(saved.map(({ end }) => end))!,
    fall: meanOf(both.map(({ start, end }) => start - end)),
    pairs: pairs.length,
    reached: pairs.filter(pair => savingsOf(pair).cpt).length,
  };
}

export interface TransferEvidence {
  /** The exponents of transferred ∝ D^p·N^q. */
  readonly byTokens: Estimate;
  readonly byParameters: Estimate;
  /** How many ends transferred something, of how many. */
  readonly positive: number;
  readonly points: number;
}

/** Returns how the tokens effectively transferred grow with those of CPT and with N, by least squares of logarithms. */
export function transferEvidence({ curves }: StudyView, language: string): TransferEvidence | undefined {
  const pairs = pairsOf(curves, language).map(pair => ({ pair, along: transferAlong(pair) }));
  const points = pairs.flatMap(({ along }) => along);
  const units = pairs.flatMap(({ pair: { cpt }, along }) => {
    const rows = along.flatMap(({ tokens, scratchTokens }) =>
      scratchTokens > tokens ? [[1, Math.log(tokens), Math.log(cpt.parameters), Math.log(scratchTokens - tokens)]] : [],
    );
    return rows.length > 0 ? [rows] : [];
  });
  const exponent = (place: 1 | 2) => estimate(units, drawn => leastSquares(drawn.flat())?.[place]);
  const [byTokens, byParameters] = [exponent(1), exponent(2)];
  if (!byTokens || !byParameters) return undefined;
  return { byTokens, byParameters, positive: units.flat().length, points: points.length };
}

/** Solves rows of [1, x, z, y] for y; undefined where they do not determine it. */
function leastSquares(rows: readonly (readonly number[])[]): number[] | undefined {
  const sizes = new Set(rows.map(row => row[2]));
  if (rows.length < 3 || sizes.size < 2 || new Set(rows.map(row => row[1]! - row[2]!)).size < 2) return undefined;
  const A = new Matrix(rows.map(row => row.slice(0, 3)));
  return solve(A, Matrix.columnVector(rows.map(row => row[3]!)), true).to1DArray();
}

/**
 * How much lower CPT ends than scratch after the same tokens, in nats, over the sizes and seeds that both languages
 * have.
 */
export interface LanguageEvidence {
  readonly near: string;
  readonly far: string;
  readonly nearGain: Estimate;
  readonly farGain: Estimate;
  readonly difference: Estimate;
}

/** Compares each target with the next, in the order of the study: nearest first. */
export function languageEvidence({ curves, targets }: StudyView): LanguageEvidence[] {
  return targets.slice(1).flatMap((far, i) => {
    const near = targets[i]!;
    const others = finalPairsOf(curves, far);
    const units = finalPairsOf(curves, near).flatMap(pair => {
      const other = others.find(({ cpt }) => cpt.size === pair.cpt.size && cpt.seed === pair.cpt.seed);
      const [a, b] = [gainOf(pair), other && gainOf(other)];
      return a === undefined || b === undefined ? [] : [{ a, b }];
    });
    const nearGain = meanOf(units.map(({ a }) => a));
    const farGain = meanOf(units.map(({ b }) => b));
    const difference = meanOf(units.map(({ a, b }) => a - b));
    return nearGain && farGain && difference ? [{ near, far, nearGain, farGain, difference }] : [];
  });
}

export interface ForgettingEvidence {
  /** The mean rise of the source loss in nats, and how it changes with a tenfold size. */
  readonly rise: Estimate;
  readonly bySize?: Estimate | undefined;
}

export function forgettingEvidence({ curves }: StudyView, language: string): ForgettingEvidence | undefined {
  const units = curves.flatMap(curve => {
    const rise = sourceLossRise(curve);
    const counts = curve.strategy === 'cpt' && curve.language === language && curve.replay === 0 && curve.isDone;
    return counts && rise !== undefined ? [{ size: Math.log10(curve.parameters), rise }] : [];
  });
  const rise = meanOf(units.map(unit => unit.rise));
  return rise && { rise, bySize: estimate(units, slope) };
}

function slope(units: readonly { readonly size: number; readonly rise: number }[]): number | undefined {
  const [x, y] = [mean(units.map(({ size }) => size)), mean(units.map(({ rise }) => rise))];
  const spread = units.reduce((sum, { size }) => sum + (size - x) ** 2, 0);
  return spread > 0 ? units.reduce((sum, { size, rise }) => sum + (size - x) * (rise - y), 0) / spread : undefined;
}

/** What one share of replay did in runs of one size and account, over seeds. */
export interface ReplayEvidence {
  readonly size: string;
  readonly account: string;
  readonly replay: number;
  readonly stages?: string | undefined;
  /** The share of the rise without replay that it kept away. */
  readonly kept: Estimate;
  /** The rise of the source loss, in nats; below 0 it ended below its start. */
  readonly rise: Estimate;
  /** How much higher the target loss ended than without replay after as many target tokens, as a share of it. */
  readonly price: Estimate;
}

export function replayEvidence({ curves }: StudyView, language: string): ReplayEvidence[] {
  const done = curves.filter(curve => curve.strategy === 'cpt' && curve.language === language && curve.isDone);
  return bySeed(done.filter(({ replay }) => replay > 0))
    .flatMap(seeds => {
      const found = seeds.flatMap(curve => againstNone(curve, done) ?? []);
      if (found.length === 0) return [];
      const { size, account = 'extra', replay, stages } = seeds[0]!;
      return [
        {
          ...{ size, account, replay, stages },
          kept: meanOf(found.map(({ kept }) => kept))!,
          rise: meanOf(found.map(({ rise }) => rise))!,
          price: meanOf(found.map(({ price }) => price))!,
        },
      ];
    })
    .sort((a, b) => a.replay - b.replay);
}

/** Holds a run with replay against that of its size and seed without; undefined where there is none. */
function againstNone(curve: StudyCurve, done: readonly StudyCurve[]) {
  const without = done.find(({ size, seed, replay }) => replay === 0 && size === curve.size && seed === curve.seed);
  const [rise, most] = [sourceLossRise(curve), without && sourceLossRise(without)];
  if (!without || rise === undefined || most === undefined) return undefined;
  const last = curve.points.at(-1)!;
  const price = last.loss / lossAfter(without, last.tokens * (1 - curve.replay)) - 1;
  return { rise, kept: 1 - rise / most, price };
}

/** Returns a curve's loss after `tokens`, linear in ln tokens; beyond its ends it is theirs. */
function lossAfter({ points }: StudyCurve, tokens: number): number {
  const next = points.findIndex(point => point.tokens >= tokens);
  if (next <= 0) return (next === 0 ? points[0] : points.at(-1))!.loss;
  const [a, b] = [points[next - 1]!, points[next]!];
  const part = Math.log(tokens / a.tokens) / Math.log(b.tokens / a.tokens);
  return a.loss + part * (b.loss - a.loss);
}
