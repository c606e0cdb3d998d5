/**
 * Published laws of a mixture: the loss in a language (or domain) against its share r of the tokens. Their points have
 * one length of training, or one number of tokens per parameter.
 *
 * `d-cpt` (Que et al. 2024, arXiv 2406.01375; E + A/N^α + B·r^η/D^β + C/(r + ε)^γ, without the term of r^η, which
 * shares of one run each cannot tell from the others):  L = E + C/(r + ε)^γ;  of several sizes  + A·N^−α
 *
 * `cmr` (Gu et al. 2024, arXiv 2407.17467):  L = E + A·r^−s;  of several sizes, ours:  L = (E + A·N^−α)·r^−s
 */
import { UserError } from '../errors.js';
import { mean } from '../mean.js';
import { Random } from '../random.js';
import { sizeTerm } from './curve-terms.js';
import { type Form, type FormParameter, type ParameterValues, predictAll } from './form.js';
import { fitForm } from './form-fit.js';

export type MixtureLaw = 'd-cpt' | 'cmr';
export const mixtureLaws = ['d-cpt', 'cmr'] as const satisfies readonly MixtureLaw[];

/** The loss in a language that had this share of the tokens. */
export interface MixturePoint {
  readonly parameters: number;
  readonly share: number;
  readonly loss: number;
}

export interface MixtureFit {
  readonly law: MixtureLaw;
  readonly values: ParameterValues;
  /** Whether N is in the law. */
  readonly sized: boolean;
  readonly points: number;
  /** The root mean square of ln L predicted − observed. */
  readonly rms: number;
  /** Refits to resampled points; those are left out that have too few sizes or shares. */
  readonly samples: readonly ParameterValues[];
}

const STARTS = 50;
/** How many sizes a law with N needs: its floor, coefficient and exponent are three. */
export const SIZES = 3;

/**
 * Fits a law of a mixture; of several sizes it has a term of N.
 * @param replicates how often the points are resampled
 * @throws UserError when shares or sizes are too few, or a share is 0 for `cmr`
 */
export function fitMixture(
  law: MixtureLaw,
  points: readonly MixturePoint[],
  { replicates = 0, seed = 0 }: { readonly replicates?: number; readonly seed?: number } = {},
): MixtureFit {
  const sizes = countOf(points, 'parameters');
  const sized = sizes > 1;
  if (sized && sizes < SIZES) {
    throw new UserError(`the law ${law} is fitted to points of one size, or of ${SIZES} and more, not of ${sizes}`);
  }
  if (law === 'cmr' && points.some(({ share }) => share === 0)) {
    throw new UserError('the law cmr has no loss at a share of 0: leave that point out, or take d-cpt');
  }
  const shares = countOf(points, 'share');
  if (shares < SHARES[law]) {
    throw new UserError(
      `the law ${law} needs ${SHARES[law]} shares, and the points have ${shares}: add runs with others`,
    );
  }
  const fitTo = (drawn: readonly MixturePoint[], starts: number, more: readonly ParameterValues[]) =>
    fitForm(mixtureForm(law, drawn, sized), lossesOf(drawn), { starts, random: new Random(0, 'mixture'), more });
  const { values, rms } = fitTo(points, STARTS, []);
  const samples = Array.from({ length: replicates }, (_, r) => {
    const random = new Random(seed, 'bootstrap', r);
    const drawn = points.map(() => points[random.integer(points.length)]!);
    const enough = countOf(drawn, 'share') >= SHARES[law] && (!sized || countOf(drawn, 'parameters') >= SIZES);
    return enough ? [fitTo(drawn, 0, [values]).values] : [];
  }).flat();
  return { law, values, sized, points: points.length, rms, samples };
}

const SHARES: Readonly<Record<MixtureLaw, number>> = { cmr: 3, 'd-cpt': 4 };

const countOf = (points: readonly MixturePoint[], of: 'parameters' | 'share'): number =>
  new Set(points.map(point => point[of])).size;

const lossesOf = (points: readonly MixturePoint[]): number[] => points.map(({ loss }) => loss);

/** Returns the loss by a fitted law. */
export function mixtureLossAt({ law, values, sized }: MixtureFit, share: number, parameters: number): number {
  return predictAll(mixtureForm(law, [{ parameters, share, loss: 1 }], sized), values)[0]!;
}

function mixtureForm(law: MixtureLaw, points: readonly MixturePoint[], sized: boolean): Form {
  const lowest = points.reduce((least, { loss }) => Math.min(least, loss), Number.POSITIVE_INFINITY);
  return law === 'cmr' ? cmr(points, sized, lowest) : dCpt(points, sized, lowest);
}

/** ln N less its mean, and that mean. */
function centredSizes(points: readonly MixturePoint[]): { x: number[]; middle: number } {
  const logN = points.map(({ parameters }) => Math.log(parameters));
  const middle = mean(logN);
  return { x: logN.map(value => value - middle), middle };
}

function dCpt(points: readonly MixturePoint[], sized: boolean, lowest: number): Form {
  const { x, middle } = centredSizes(points);
  const A: FormParameter = { name: 'A', kind: 'positive', start: [0.05 * lowest, 0.5 * lowest] };
  return {
    parameters: [
      { name: 'E', kind: 'positive', start: [0.4 * lowest, 0.95 * lowest] },
      { name: 'C', kind: 'positive', start: [0.01 * lowest, 0.3 * lowest] },
      { name: 'epsilon', kind: 'positive', start: [1e-3, 1e-1] },
      { name: 'gamma', kind: 'exponent', start: [0.1, 1] },
      ...(sized ? sizeTerm(A, 'alpha', middle) : []),
    ],
    points: points.length,
    predict(values, i, slopes) {
      const [E, C, epsilon, gamma] = values as unknown as [number, number, number, number];
      const base = points[i]!.share + epsilon;
      const power = base ** -gamma;
      slopes[0] = 1;
      slopes[1] = power;
      slopes[2] = (-C * gamma * power) / base;
      slopes[3] = -C * power * Math.log(base);
      if (!sized) return E + C * power;
      const [A, alpha] = [values[4]!, values[5]!];
      const size = Math.exp(-alpha * x[i]!);
      slopes[4] = size;
      slopes[5] = -A * size * x[i]!;
      return E + C * power + A * size;
    },
  };
}

function cmr(points: readonly MixturePoint[], sized: boolean, lowest: number): Form {
  const { x, middle } = centredSizes(points);
  return {
    parameters: [
      { name: 'E', kind: 'positive', start: [0.1 * lowest, 0.9 * lowest] },
      {
        name: 'A',
        kind: 'positive',
        start: [0.1 * lowest, 0.9 * lowest],
        ...(sized && { centre: { exponent: 'alpha', log: middle } }),
      },
      { name: 's', kind: 'exponent', start: [0.02, 0.5] },
      ...(sized ? [{ name: 'alpha', kind: 'exponent', start: [0.05, 0.5] } as const] : []),
    ],
    points: points.length,
    predict(values, i, slopes) {
      const [E, A, s] = values as unknown as [number, number, number];
      const logShare = Math.log(points[i]!.share);
      const power = Math.exp(-s * logShare);
      if (sized) {
        const size = Math.exp(-values[3]! * x[i]!);
        const pure = E + A * size;
        slopes[0] = power;
        slopes[1] = size * power;
        slopes[2] = -pure * power * logShare;
        slopes[3] = -A * size * power * x[i]!;
        return pure * power;
      }
      slopes[0] = 1;
      slopes[1] = power;
      slopes[2] = -A * power * logShare;
      return E + A * power;
    },
  };
}
