/**
 * Published laws of a mixture: the loss in a language (or domain) against its share r of the tokens, for one size and
 * length of training.
 *
 * `d-cpt` (Que et al. 2024, arXiv 2406.01375; E + A/N^α + B·r^η/D^β + C/(r + ε)^γ at one N and D, without the term of
 * r^η, which shares of one run each cannot tell from the others):  L = E + C/(r + ε)^γ
 *
 * `cmr` (Gu et al. 2024, arXiv 2407.17467):  L = E + A·r^−s;  of several sizes, ours:  L = (E + A·N^−α)·r^−s
 */
import { UserError } from '../errors.js';
import { Random } from '../random.js';
import { type Form, type ParameterValues, predictAll } from './form.js';
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
}

const STARTS = 50;

/**
 * Fits a law of a mixture. Of several sizes `cmr` has a term of N; `d-cpt` takes points of one size.
 * @throws UserError when shares are too few, or 0 for `cmr`
 */
export function fitMixture(law: MixtureLaw, points: readonly MixturePoint[]): MixtureFit {
  const sized = new Set(points.map(({ parameters }) => parameters)).size > 1;
  if (law === 'd-cpt' && sized) throw new UserError('the law d-cpt is fitted to points of one size');
  if (law === 'cmr' && points.some(({ share }) => share === 0)) {
    throw new UserError('the law cmr has no loss at a share of 0: leave that point out, or take d-cpt');
  }
  const form = mixtureForm(law, points, sized);
  const shares = new Set(points.map(({ share }) => share)).size;
  const needed = law === 'cmr' ? 3 : 4;
  if (shares < needed) {
    throw new UserError(`the law ${law} needs ${needed} shares, and the points have ${shares}: add runs with others`);
  }
  const losses = points.map(({ loss }) => loss);
  const { values, rms } = fitForm(form, losses, { starts: STARTS, random: new Random(0, 'mixture') });
  return { law, values, sized, points: points.length, rms };
}

/** Returns the loss by a fitted law. */
export function mixtureLossAt({ law, values, sized }: MixtureFit, share: number, parameters: number): number {
  return predictAll(mixtureForm(law, [{ parameters, share, loss: 1 }], sized), values)[0]!;
}

function mixtureForm(law: MixtureLaw, points: readonly MixturePoint[], sized: boolean): Form {
  const lowest = points.reduce((least, { loss }) => Math.min(least, loss), Number.POSITIVE_INFINITY);
  return law === 'cmr' ? cmr(points, sized, lowest) : dCpt(points, lowest);
}

function dCpt(points: readonly MixturePoint[], lowest: number): Form {
  return {
    parameters: [
      { name: 'E', kind: 'positive', start: [0.4 * lowest, 0.95 * lowest] },
      { name: 'C', kind: 'positive', start: [0.01 * lowest, 0.3 * lowest] },
      { name: 'epsilon', kind: 'positive', start: [1e-3, 1e-1] },
      { name: 'gamma', kind: 'exponent', start: [0.1, 1] },
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
      return E + C * power;
    },
  };
}

function cmr(points: readonly MixturePoint[], sized: boolean, lowest: number): Form {
  const logN = points.map(({ parameters }) => Math.log(parameters));
  const middle = logN.reduce((sum, x) => sum + x, 0) / logN.length;
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
        const x = logN[i]! - middle;
        const size = Math.exp(-values[3]! * x);
        const pure = E + A * size;
        slopes[0] = power;
        slopes[1] = size * power;
        slopes[2] = -pure * power * logShare;
        slopes[3] = -A * size * power * x;
        return pure * power;
      }
      slopes[0] = 1;
      slopes[1] = power;
      slopes[2] = -A * power * logShare;
      return E + A * power;
    },
  };
}
