/**
 * A loss curve with the learning rate of each of its steps, and the sums of rates that laws of whole curves go by
 * (Tissue et al. 2024, arXiv 2408.11029):
 *
 *   S1(t) = Σ_{i ≤ t} η_i                       the sum of rates
 *   S2(t) = Σ_{i ≤ t} m_i,  m_i = λ·m_{i−1} + (η_{i−1} − η_i)    the annealing area, less where rates rise
 */

export interface CurveRow {
  /** The optimizer step, from 1. */
  readonly step: number;
  /** The loss in nats per token. */
  readonly loss: number;
}

export interface LossCurve {
  readonly name: string;
  /** N, where curves of several sizes are fitted together. */
  readonly parameters?: number;
  /** The learning rate of steps 1, 2, …: at least as many as the last row's step. */
  readonly rates: Float64Array;
  readonly rows: readonly CurveRow[];
}

/** The momentum of the annealing area that the paper takes. */
export const ANNEALING_DECAY = 0.999;

/**
 * Returns the rate of every step from 1 to the last row's. Between two rows it is interpolated linearly, but for a rate
 * that is constant up to the one row and from the other on: that is taken to jump at the other. Before the first row it
 * rises linearly from 0, as in a warm-up that ends there.
 * @param rows with steps that rise
 */
export function ratesBetween(rows: readonly { readonly step: number; readonly rate: number }[]): Float64Array {
  const rates = new Float64Array(rows.at(-1)!.step);
  const rateOf = (r: number) => rows[r]?.rate;
  rows.forEach(({ step, rate }, r) => {
    const [from, low] = r > 0 ? [rows[r - 1]!.step, rows[r - 1]!.rate] : [0, 0];
    const jumps = rateOf(r - 1) !== undefined && rateOf(r - 2) === rateOf(r - 1) && rateOf(r + 1) === rate;
    for (let i = from + 1; i < step; i++) {
      rates[i - 1] = jumps ? low : low + ((rate - low) * (i - from)) / (step - from);
    }
    rates[step - 1] = rate;
  });
  return rates;
}

/** The sums after each step. */
export interface RateSums {
  readonly S1: Float64Array;
  readonly S2: Float64Array;
}

/**
 * Returns S1 and S2 after each step.
 * @param before the rate that the first step comes from. Without one the curve begins with a warm-up, which is no
 *   annealing: S2 counts from the step at which the rate first stops rising.
 */
export function rateSums(rates: Float64Array, decay = ANNEALING_DECAY, before?: number): RateSums {
  const S1 = new Float64Array(rates.length);
  const S2 = new Float64Array(rates.length);
  const warmup = before === undefined ? warmupSteps(rates) : 0;
  let [sum, area, momentum, last] = [0, 0, 0, before ?? 0];
  for (let i = 0; i < rates.length; i++) {
    const rate = rates[i]!;
    momentum = i < warmup ? 0 : decay * momentum + (last - rate);
    sum += rate;
    area += momentum;
    S1[i] = sum;
    S2[i] = area;
    last = rate;
  }
  return { S1, S2 };
}

/** Returns the number of steps in which the rate rises from the start; 0 where it never does. */
export function warmupSteps(rates: Float64Array): number {
  const end = rates.findIndex((rate, i) => i > 0 && rate <= rates[i - 1]!);
  return end < 0 ? rates.length : end === 1 ? 1 : end;
}

/** Returns the rows after the warm-up, which laws of curves do not describe. */
export const rowsAfterWarmup = ({ rates, rows }: LossCurve): CurveRow[] => {
  const warmup = warmupSteps(rates);
  return rows.filter(({ step }) => step >= warmup);
};
