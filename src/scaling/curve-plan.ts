/**
 * What a law of whole curves says of the end of a run: of one that is planned, and of one whose first part is known.
 */
import { UserError } from '../errors.js';
import { Random } from '../random.js';
import { interval } from './bootstrap.js';
import { type CurveRow, type LossCurve, rowsAfterWarmup, warmupSteps } from './curve.js';
import { type CurveFit, type CurvePredictor, predictCurve } from './curve-fit.js';
import { curveForm } from './curve-laws.js';
import { pointsOfCurves } from './curve-points.js';
import { figure } from './figure.js';
import { type ParameterValues, predictAll } from './form.js';
import { fitForm } from './form-fit.js';

/** A fit of curves as far as a prediction needs it. */
export type PlanningFit = CurvePredictor & Pick<CurveFit, 'samples' | 'rms' | 'leftOut' | 'open' | 'range'>;

export interface PredictedEnd {
  readonly step: number;
  /** The loss at the last step, in nats per token. */
  readonly loss: number;
  /** The 95% interval: see `predictEnd`. */
  readonly interval: readonly [number, number];
  /** The sums of rates and the annealing area at the last step. */
  readonly S1: number;
  readonly S2: number;
  /** The last step of a first part that is known, and the parameters that were fitted to it. */
  readonly known: { readonly step: number; readonly refitted: ParameterValues } | null;
  readonly warnings: readonly string[];
}

/** The parameters that a run's first part is fitted by: its level. What schedules do is kept from the fit. */
const LEVEL = ['L0', 'A'] as const;
/**
 * How far off a law is in what falls of the rate win. On the measured curves it is up to a quarter, where the rate
 * falls faster than in the curves of the fit.
 */
const ANNEALING_ERROR = 0.3;
/** The least rows of a first part. */
const LEAST_ROWS = 8;
/** The shares of a known part at which its own end is predicted, to see how far off that is. */
const CUTS = [1 / 3, 1 / 2, 2 / 3];

/**
 * Predicts the loss at the end of a run.
 *
 * Without a known part the interval adds up, as independent errors do, the refits' interval, twice the law's own error
 * (rms), the largest error at the end of a curve that was left out of the fit, and 30% of what the rate's falls are
 * predicted to win. With one, L0 and A are fitted to it, and in place of the error at a left-out end stands how far off
 * its own end is when it is predicted from a third, a half and two thirds of it.
 * @param rates the rate of every step of the run, to its end
 * @throws UserError when the known part is too short
 */
export function predictEnd(
  fit: PlanningFit,
  rates: Float64Array,
  { known, parameters }: { readonly known?: readonly CurveRow[]; readonly parameters?: number } = {},
): PredictedEnd {
  const step = rates.length;
  const end: LossCurve = { name: 'end', rates, rows: [{ step, loss: 1 }], ...(parameters && { parameters }) };
  const lossOf = (values: ParameterValues) => predictCurve(fit, end, values)[0]!;
  const [point] = pointsOfCurves([end], { decay: fit.decay, ...(fit.source && { source: fit.source }) }).flat();
  if (!point) throw new UserError(`the rate rises to the last of the ${step} steps: a law of curves begins after that`);
  const rows = known && rowsAfterWarmup({ ...end, rows: known });
  const refit = (kept: ParameterValues, first: readonly CurveRow[]) => (rows ? refitted(fit, kept, end, first) : kept);
  const values = refit(fit.parameters, rows ?? []);
  const loss = lossOf(values);
  const spread = interval(fit.samples.map(sample => lossOf(refit(sample, rows ?? [])) / loss - 1)) ?? [0, 0];
  const carried = rows ? backtested(fit, end, rows) : fit.leftOut.map(({ atEnd }) => atEnd);
  const largest = carried.reduce((most, error) => Math.max(most, Math.abs(error)), 0);
  const won = ANNEALING_ERROR * annealedAfter(fit, values, end, rows?.at(-1)?.step ?? 0);
  const half = Math.hypot(Math.max(-spread[0], spread[1]), 2 * fit.rms, largest, won / loss);
  return {
    step,
    loss,
    interval: [loss * (1 - half), loss * (1 + half)],
    S1: point.S1,
    S2: point.S2,
    known: rows ? { step: rows.at(-1)!.step, refitted: values } : null,
    warnings: warningsOf(fit, point, rows === undefined),
  };
}

/**
 * Returns what falls of the rate after a step are predicted to win by the end: the loss of a run whose rate stays what
 * it is at that step, or at the end of the warm-up, less that of the run itself, at the same S1.
 */
function annealedAfter(fit: PlanningFit, values: ParameterValues, end: LossCurve, known: number): number {
  const options = { decay: fit.decay, ...(fit.source && { source: fit.source }) };
  const [whole] = pointsOfCurves([end], options).flat();
  const staying = end.rates.slice();
  const from = Math.max(known, warmupSteps(end.rates), 1);
  staying.fill(end.rates[from - 1]!, from);
  const [constant] = pointsOfCurves([{ ...end, rates: staying }], options).flat();
  const form = curveForm(fit.law, [{ ...constant!, S1: whole!.S1 }, whole!], fit.source ?? undefined, fit.sized);
  const [without, withIt] = predictAll(form, values);
  return Math.abs(without! - withIt!);
}

/** Returns the fit's values with L0 and A fitted to the first rows of a run. */
function refitted(fit: PlanningFit, kept: ParameterValues, end: LossCurve, rows: readonly CurveRow[]): ParameterValues {
  if (rows.length < LEAST_ROWS) {
    throw new UserError(`${rows.length} rows after warm-up are known; the end of a run needs at least ${LEAST_ROWS}`);
  }
  const points = pointsOfCurves([{ ...end, rows }], { decay: fit.decay, ...(fit.source && { source: fit.source }) });
  const form = curveForm(fit.law, points.flat(), fit.source ?? undefined, fit.sized);
  const held = Object.fromEntries(Object.entries(kept).filter(([name]) => !LEVEL.some(level => level === name)));
  const losses = points.flat().map(({ loss }) => loss);
  return fitForm(form, losses, { starts: 0, more: [kept], held, random: new Random(0) }).values;
}

/** Returns the relative errors of the known part's own end, predicted from its first shares. */
function backtested(fit: PlanningFit, end: LossCurve, rows: readonly CurveRow[]): number[] {
  const last = rows.slice(-Math.max(1, Math.round(rows.length / 20)));
  return CUTS.flatMap(cut => {
    const first = rows.slice(0, Math.round(cut * rows.length));
    if (first.length < LEAST_ROWS) return [];
    const values = refitted(fit, fit.parameters, end, first);
    const predicted = predictCurve(fit, { ...end, rows: last }, values);
    return [predicted.reduce((sum, loss, i) => sum + loss / last[i]!.loss - 1, 0) / last.length];
  });
}

function warningsOf(fit: PlanningFit, { S1 }: { S1: number }, isAlone: boolean): string[] {
  const [least, most] = fit.range.S1;
  return [
    ...(fit.open.length > 0 ? [`the law's curves leave ${fit.open.join(', ')} open: see the warnings of its fit`] : []),
    ...(isAlone && (S1 > most * (1 + 1e-9) || S1 < least)
      ? [`extrapolation: the run ends at S1 ${figure(S1)} (fitted: ${figure(least)} to ${figure(most)})`]
      : []),
  ];
}
