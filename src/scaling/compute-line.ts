/**
 * The lowest loss that compute buys: L = k · C^−c, fitted to the lower envelope of the points (Zheng et al. 2024, after
 * Kaplan et al. 2020, arXiv 2001.08361). It does not say how to split the compute.
 */
import { UserError } from '../errors.js';
import { mean } from '../mean.js';
import { Random } from '../random.js';
import { type BootstrapOptions, draw, interval, outsideIntervals, type RunPoint } from './bootstrap.js';
import { figure } from './figure.js';
import { minimize } from './lbfgs.js';
import { excess, huber, huberSlope, LARGEST_EXPONENT } from './objective.js';

export interface ComputeLine {
  readonly k: number;
  readonly c: number;
}

export interface ComputeFit {
  readonly law: 'compute';
  readonly parameters: ComputeLine;
  readonly intervals: Readonly<Record<'k' | 'c', readonly [number, number] | null>>;
  /** The sum of the envelope's Huber terms. */
  readonly objective: number;
  /** The number of points on the envelope. */
  readonly points: number;
  readonly envelope: readonly EnvelopePoint[];
  readonly range: { readonly compute: readonly [number, number] };
  readonly bootstrap: BootstrapOptions;
  readonly warnings: readonly string[];
}

/** FLOPs, and the lowest loss in nats per token that no less compute reached. */
export interface EnvelopePoint {
  readonly compute: number;
  readonly loss: number;
}

export type ComputePoint = RunPoint & { readonly flops?: number };

export const lossOfCompute = ({ k, c }: ComputeLine, C: number): number => k * C ** -c;

export const computeOfLoss = ({ k, c }: ComputeLine, loss: number): number => (k / loss) ** (1 / c);

/** Returns, in the order of compute, the points that are lower than every point of as much compute or less. */
export function lowerEnvelope(points: readonly ComputePoint[]): EnvelopePoint[] {
  const sorted = points
    .map(({ parameters, tokens, loss, flops }) => ({ compute: flops ?? 6 * parameters * tokens, loss }))
    .sort((a, b) => a.compute - b.compute || a.loss - b.loss);
  let lowest = Number.POSITIVE_INFINITY;
  return sorted.filter(({ loss }) => {
    if (loss >= lowest) return false;
    lowest = loss;
    return true;
  });
}

/** Fits the line to the lower envelope. @throws UserError when fewer than two points are on the envelope. */
export function fitCompute(points: readonly ComputePoint[], options: BootstrapOptions): ComputeFit {
  const envelope = lowerEnvelope(points);
  if (envelope.length < 2) {
    throw new UserError(
      `the lower envelope has ${envelope.length} of the ${points.length} points: the law needs at least two, a lower ` +
        'loss with more compute',
    );
  }
  const { line, objective } = fitLine(envelope);
  const samples = Array.from({ length: options.replicates }, (_, r) => {
    const drawn = lowerEnvelope(draw(points, options.resample, new Random(options.seed, 'bootstrap', r)));
    return drawn.length < 2 ? [] : [fitLine(drawn).line];
  }).flat();
  const intervalOf = (name: keyof ComputeLine) => interval(samples.map(sample => sample[name])) ?? null;
  const intervals = { k: intervalOf('k'), c: intervalOf('c') };
  const [least, most] = [envelope[0]!.compute, envelope.at(-1)!.compute];
  const unbounded =
    `c ran to ${figure(line.c)}, the end of its search: the compute of the envelope spans a factor of ` +
    `${figure(most / least)}; add points at less and more compute`;
  return {
    law: 'compute',
    parameters: line,
    intervals,
    objective,
    points: envelope.length,
    envelope,
    range: { compute: [least, most] },
    bootstrap: options,
    warnings: [
      ...(Math.abs(line.c) >= LARGEST_EXPONENT ? [unbounded] : []),
      ...outsideIntervals({ k: line.k, c: line.c }, intervals),
    ],
  };
}

/**
 * Minimises the sum of Huber_δ(ln k − c ln C − ln L), plus the wall for c. The sum is convex, so one start is enough.
 */
function fitLine(envelope: readonly EnvelopePoint[]): { line: ComputeLine; objective: number } {
  const logs = envelope.map(({ compute, loss }) => [Math.log(compute), Math.log(loss)] as const);
  const middle = mean(logs.map(([x]) => x));
  const { x } = minimize(
    ([height, slope], gradient) => {
      const beyond = excess(slope!);
      let total = (logs.length * beyond * beyond) / 2;
      gradient.set([0, logs.length * beyond]);
      for (const [logC, logLoss] of logs) {
        const r = height! - slope! * (logC - middle) - logLoss;
        total += huber(r);
        gradient[0]! += huberSlope(r);
        gradient[1]! -= huberSlope(r) * (logC - middle);
      }
      return total;
    },
    Float64Array.of(mean(logs.map(([, y]) => y)), 0.05),
  );
  const [height, c] = x as unknown as [number, number];
  const line = { k: Math.exp(height + c * middle), c };
  const objective = logs.reduce((sum, [logC, logLoss]) => sum + huber(height - c * (logC - middle) - logLoss), 0);
  return { line, objective };
}
