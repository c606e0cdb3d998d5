/** The rows of curves as points of a law: each with the sums of the rates up to it. */
import { type LossCurve, rateSums, rowsAfterWarmup, warmupSteps } from './curve.js';

/** How the rates of curves are summed. */
export interface CurveOptions {
  /** λ of the annealing area. */
  readonly decay: number;
  /** A CPT law's: S1 of the source model's training, and the rate at which that ended. */
  readonly source?: { readonly S1: number; readonly rate: number };
}

/** A row of a curve with its sums; `drops` and `before` are those of the multi-power law. */
export interface SummedPoint {
  readonly parameters: number;
  readonly S1: number;
  readonly S2: number;
  readonly loss: number;
  readonly drops: Drops;
  /** How many of the drops lie before the row. */
  readonly before: number;
}

/** The falls of a curve's rate, gathered by stretches of steps. */
export interface Drops {
  readonly fall: Float64Array;
  /** ln of the rate after the fall, and S1 up to there. */
  readonly logRate: Float64Array;
  readonly S1: Float64Array;
  readonly step: Float64Array;
}

/** The most stretches that a curve's falls are gathered in: each costs time at every later row. */
const STRETCHES = 128;
/** A rate of 0 has no logarithm; this one is as good as 0. */
const LEAST_RATE = 1e-12;

function dropsOf(rates: Float64Array, S1: Float64Array, from: number): Drops {
  const length = Math.max(1, Math.ceil((rates.length - from) / STRETCHES));
  const found: [number, number, number, number][] = [];
  for (let start = from; start < rates.length; start += length) {
    const end = Math.min(start + length, rates.length);
    const before = rates[Math.max(0, start - 1)]!;
    const fall = before - rates[end - 1]!;
    if (Math.abs(fall) <= 1e-9 * before) continue;
    // where half of it has fallen; a jump is at its own step
    const half = before - fall / 2;
    let at = start;
    while (fall > 0 ? rates[at]! > half : rates[at]! < half) at++;
    found.push([fall, Math.log(Math.max(LEAST_RATE, rates[end - 1]!)), at > 0 ? S1[at - 1]! : 0, at + 1]);
  }
  const column = (j: 0 | 1 | 2 | 3) => Float64Array.from(found, drop => drop[j]);
  return { fall: column(0), logRate: column(1), S1: column(2), step: column(3) };
}

/**
 * Returns the points of curves after their warm-up, one a row; a CPT law describes its warm-up too.
 */
export function pointsOfCurves(curves: readonly LossCurve[], { decay, source }: CurveOptions): SummedPoint[][] {
  return curves.map(curve => {
    const { S1, S2 } = rateSums(curve.rates, decay, source?.rate);
    const rows = source ? curve.rows : rowsAfterWarmup(curve);
    const drops = dropsOf(curve.rates, S1, source ? 0 : warmupSteps(curve.rates));
    return rows.map(({ step, loss }) => ({
      parameters: curve.parameters ?? 1,
      S1: S1[step - 1]!,
      S2: S2[step - 1]!,
      loss,
      drops,
      before: drops.step.findLastIndex(at => at <= step) + 1,
    }));
  });
}
