/**
 * How the source language's loss depends on replay, and the least replay that keeps to a limit on that loss:
 *
 *   L_source(r) = S − K · ln(r + ρ),   r the share of source tokens in the mixture
 *
 * The form is our choice, with few parameters: the published sweep of Ibrahim et al. (2024, arXiv 2403.08763; 405M,
 * German after English) is nearly straight in ln r from 1% to 50%, and ρ keeps it finite at r = 0. The curve holds for
 * the size and tokens that it was measured with, between the least and the largest measured ratio; it says nothing
 * beyond. A published law of the mixture (`mixture.ts`) may take its place; where three sizes were measured, it holds
 * for others.
 */
import { UserError } from '../errors.js';
import { mean, rootMeanSquare } from '../mean.js';
import { interval } from './bootstrap.js';
import { minimize } from './lbfgs.js';
import { fitMixture, type MixtureFit, type MixtureLaw, type MixturePoint, mixtureLossAt, SIZES } from './mixture.js';
import { huber, huberSlope } from './objective.js';
import type { Point } from './points.js';

export interface ReplayCurve {
  readonly S: number;
  readonly K: number;
  /** The offset ρ; 0 where every point has replay. */
  readonly rho: number;
  /** The number of points in the fit: the last point of each run of one size. */
  readonly points: number;
  /** The root mean square of ln L predicted − observed. */
  readonly rms: number;
  readonly parameters: number;
  readonly tokensPerParameter: readonly [number, number];
  readonly replay: readonly [number, number];
  /**
   * A published law, if one was asked for: it is what a plan then goes by. It is fitted to the same points, or to the
   * ends of all sizes if there are three.
   */
  readonly mixture?: MixtureFit;
  /** The size that the published law is asked for: that of the plan if the law has sizes, or else the points'. */
  readonly at?: number;
  /** The least and the largest size of a law that has sizes. */
  readonly sizes?: readonly [number, number];
}

/** Returns the source language's loss at a share of replay, by the published law if the curve has one. */
export const sourceLossAt = (
  { S, K, rho, mixture, at = 1 }: Pick<ReplayCurve, 'S' | 'K' | 'rho' | 'mixture' | 'at'>,
  r: number,
): number => (mixture ? mixtureLossAt(mixture, r, at) : S - K * Math.log(r + rho));

/**
 * Fits the curve to the ends of the runs whose size is nearest to `parameters`; points need `replay` and `sourceLoss`.
 * @param law a published law that is fitted beside, to the ends of all sizes if there are three
 * @throws UserError when that size has fewer than three ratios, or fewer than the published law needs
 */
export function fitReplay(points: readonly Point[], parameters: number, law?: MixtureLaw): ReplayCurve {
  const ends = runEnds(points);
  const distance = (size: number) => Math.abs(Math.log(size / parameters));
  const size = ends.reduce(
    (best, end) => (distance(end.parameters) < distance(best) ? end.parameters : best),
    ends[0]!.parameters,
  );
  const chosen = ends.filter(end => end.parameters === size);
  const ratios = [...new Set(chosen.map(({ replay }) => replay!))].sort((a, b) => a - b);
  if (ratios.length < 3) {
    throw new UserError(
      `a replay curve needs three ratios at one size; of ${size} parameters, the size nearest to the plan, there are ` +
        ratios.join(', '),
    );
  }
  const withZero = ratios[0] === 0;
  const fits = (withZero ? [1e-5, 1e-4, 1e-3, 1e-2, 1e-1] : [0]).map(rho => fitFrom(chosen, rho));
  const { curve, value } = fits.reduce((best, fit) => (fit.value < best.value ? fit : best));
  if (!Number.isFinite(value)) throw new UserError('no replay curve fits the source losses');
  const residuals = chosen.map(({ replay, sourceLoss }) => Math.log(sourceLossAt(curve, replay!) / sourceLoss!));
  const known = { ...curve, points: chosen.length, rms: rootMeanSquare(residuals), parameters: size };
  if (!law) return { ...known, tokensPerParameter: lengthsOf(chosen), replay: [ratios[0]!, ratios.at(-1)!] };
  const all = law === 'cmr' ? ends.filter(({ replay }) => replay! > 0) : ends;
  const sizes = all.map(each => each.parameters);
  const sized = new Set(sizes).size >= SIZES;
  const fitted = sized ? all : chosen;
  const shares = fitted.map(({ replay }) => replay!);
  return {
    ...known,
    tokensPerParameter: lengthsOf(fitted),
    replay: [Math.min(...shares), Math.max(...shares)],
    mixture: fitMixture(law, fitted.map(toMixturePoint), { replicates: sized ? REPLICATES : 0 }),
    at: sized ? parameters : size,
    ...(sized && { sizes: [Math.min(...sizes), Math.max(...sizes)] }),
  };
}

/** The resamples of the runs from which a share has its interval. */
const REPLICATES = 200;

function lengthsOf(points: readonly Point[]): readonly [number, number] {
  const lengths = points.map(({ parameters, tokens }) => tokens / parameters);
  return [Math.min(...lengths), Math.max(...lengths)];
}

const toMixturePoint = ({ parameters, replay, sourceLoss }: Point): MixturePoint => ({
  parameters,
  share: replay!,
  loss: sourceLoss!,
});

/** Returns the last point of each run; where runs have no names, of each size, ratio and seed. */
function runEnds(points: readonly Point[]): Point[] {
  const ends = new Map<string, Point>();
  for (const point of points) {
    const key = JSON.stringify([point.run, point.parameters, point.replay, point.seed]);
    const last = ends.get(key);
    if (!last || point.tokens > last.tokens) ends.set(key, point);
  }
  return [...ends.values()];
}

/** Minimises Huber's loss on ln L from one start of ρ; S and K start at least squares. ρ = 0 stays 0. */
function fitFrom(points: readonly Point[], rho: number) {
  const logs = points.map(({ replay }) => Math.log(replay! + rho));
  const [middle, level] = [mean(logs), mean(points.map(({ sourceLoss }) => sourceLoss!))];
  const slope =
    mean(points.map(({ sourceLoss }, i) => (sourceLoss! - level) * (logs[i]! - middle))) /
    mean(logs.map(log => (log - middle) ** 2));
  const start = [level - slope * middle, -slope, ...(rho > 0 ? [Math.log(rho)] : [])];
  const { x, value } = minimize(([S, K, logRho], gradient) => {
    gradient.fill(0);
    const offset = logRho === undefined ? 0 : Math.exp(logRho);
    let total = 0;
    for (const { replay, sourceLoss } of points) {
      const log = Math.log(replay! + offset);
      const predicted = S! - K! * log;
      if (!(predicted > 0)) return Number.POSITIVE_INFINITY;
      const r = Math.log(predicted / sourceLoss!);
      const weight = huberSlope(r) / predicted;
      total += huber(r);
      gradient[0]! += weight;
      gradient[1]! -= weight * log;
      if (logRho !== undefined) gradient[2]! -= (weight * K! * offset) / (replay! + offset);
    }
    return total;
  }, Float64Array.from(start));
  const [S, K, logRho] = x as unknown as [number, number, number | undefined];
  return { curve: { S, K, rho: logRho === undefined ? 0 : Math.exp(logRho) }, value };
}

/**
 * Returns the 95% interval of the least ratio, by the refits of a law that has sizes, and in how many of them no
 * measured ratio is enough.
 */
export function leastReplayInterval(
  curve: ReplayCurve,
  limit: number,
): { interval: readonly [number, number] | null; without: number } {
  const { mixture } = curve;
  if (!mixture) return { interval: null, without: 0 };
  const each = mixture.samples.map(values => leastReplay({ ...curve, mixture: { ...mixture, values } }, limit));
  const found = each.filter(share => share !== undefined);
  return { interval: interval(found) ?? null, without: each.length - found.length };
}

/**
 * Returns the least ratio whose source loss is within the limit.
 * @returns undefined when no measured ratio is enough.
 */
export function leastReplay(curve: ReplayCurve, limit: number): number | undefined {
  const [low, high] = curve.replay;
  if (sourceLossAt(curve, low) <= limit) return low;
  if (!(sourceLossAt(curve, high) <= limit)) return undefined;
  if (!curve.mixture) return Math.exp((curve.S - limit) / curve.K) - curve.rho;
  let [above, within] = [low, high];
  while (within - above > 1e-9) {
    const middle = (above + within) / 2;
    if (sourceLossAt(curve, middle) <= limit) within = middle;
    else above = middle;
  }
  return within;
}
