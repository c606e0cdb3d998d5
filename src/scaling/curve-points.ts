/** The rows of curves as points of a law: each with the sums of the rates up to it. */
import { type LossCurve, rateSums, rowsAfterWarmup, warmupSteps } from './curve.js';

/** How the rates of curves are summed. */
export interface CurveOptions {
  /** λ of the annealing area. */
  readonly decay: number;
  /** A CPT law's: S1 of the source model's training, and the rate at which that ended. */
  readonly source?: { readonly S1: number; readonly rate: number };
}

/** A row of a curve with its sums; `drops`, `before` and `rest` are for the multi-power law. */
export interface SummedPoint {
  readonly parameters: number;
  readonly S1: number;
  readonly S2: number;
  readonly loss: number;
  /** The falls of its curve by whole stretches, of which `before` have ended by the row. */
  readonly drops: readonly Drop[];
  readonly before: number;
  /** What has fallen since the last of those. */
  readonly rest: Drop;
}

/** The falls of a curve's rate in some steps, taken as one. */
export interface Drop {
  /** The rate before less that after; below 0 where it rises. */
  readonly fall: number;
  /** The means of ln of the rate after a step, and of S1 before it, each step weighted by how far its rate moves. */
  readonly logRate: number;
  readonly S1: number;
}

/** The most stretches that a curve's falls are gathered in: each costs time at every later row. */
const STRETCHES = 128;
/** A rate of 0 has no logarithm; this one is as good as 0. */
const LEAST_RATE = 1e-12;

/** Returns what gathers the falls of the steps after `from` up to `to`. */
function gathering(rates: Float64Array, S1: Float64Array): (from: number, to: number) => Drop {
  const [moved, logRate, before] = [0, 1, 2].map(() => new Float64Array(rates.length + 1)) as [Sums, Sums, Sums];
  for (let i = 0; i < rates.length; i++) {
    const size = Math.abs(rates[i]! - (rates[i - 1] ?? 0));
    moved[i + 1] = moved[i]! + size;
    logRate[i + 1] = logRate[i]! + size * Math.log(Math.max(LEAST_RATE, rates[i]!));
    before[i + 1] = before[i]! + size * (S1[i - 1] ?? 0);
  }
  return (from, to) => {
    const size = moved[to]! - moved[from]!;
    if (!(size > 0)) return { fall: 0, logRate: 0, S1: 0 };
    return {
      fall: (rates[from - 1] ?? 0) - (rates[to - 1] ?? 0),
      logRate: (logRate[to]! - logRate[from]!) / size,
      S1: (before[to]! - before[from]!) / size,
    };
  };
}

type Sums = Float64Array<ArrayBuffer>;

/**
 * Returns the points of curves after their warm-up, one a row; a CPT law describes its warm-up too.
 */
export function pointsOfCurves(curves: readonly LossCurve[], { decay, source }: CurveOptions): SummedPoint[][] {
  return curves.map(curve => {
    const { rates } = curve;
    const { S1, S2 } = rateSums(rates, decay, source?.rate);
    const rows = source ? curve.rows : rowsAfterWarmup(curve);
    const start = source ? 0 : warmupSteps(rates);
    const length = Math.max(1, Math.ceil((rates.length - start) / STRETCHES));
    const gather = gathering(rates, S1);
    const drops = Array.from({ length: Math.floor((rates.length - start) / length) }, (_, i) =>
      gather(start + i * length, start + (i + 1) * length),
    );
    return rows.map(({ step, loss }) => {
      const before = Math.floor((step - start) / length);
      return {
        parameters: curve.parameters ?? 1,
        S1: S1[step - 1]!,
        S2: S2[step - 1]!,
        loss,
        drops,
        before,
        rest: gather(start + before * length, step),
      };
    });
  });
}
