/**
 * What a fit minimises, as in Hoffmann et al. (2022) and Zheng et al. (2024): the sum over the points of
 * Huber_δ(ln L predicted − ln L observed) with δ = 1e-3. The prediction is the log-sum-exp of (ln E, ln A − α ln N,
 * ln B − β ln D − γ ln N).
 *
 * ln N and ln D are centred on their means, so that a coefficient and its exponent are nearly uncorrelated. The
 * coefficients inside are ln A_c = ln A − α·mean(ln N) and ln B_c = ln B − β·mean(ln D) − γ·mean(ln N).
 *
 * Some points leave an exponent without bound, points of two sizes for instance. The search could then take it
 * anywhere, and its coefficient beyond any number. A wall keeps exponents within ±LARGEST_EXPONENT: every point adds
 * excess²/2. The slope of this term outgrows that of the point's Huber term, which is at most δ·|ln N|, within
 * hundredths.
 */
import { mean } from '../mean.js';
import { type LawParameters, type ParameterName, parameterNames } from './law.js';

export const HUBER_DELTA = 1e-3;

/** Huber's function: r²/2 up to δ, δ(|r| − δ/2) beyond. */
export function huber(r: number): number {
  const size = Math.abs(r);
  return size <= HUBER_DELTA ? (r * r) / 2 : HUBER_DELTA * (size - HUBER_DELTA / 2);
}

export const huberSlope = (r: number): number => Math.max(-HUBER_DELTA, Math.min(HUBER_DELTA, r));

/** The exponent of a term that falls to a 32nd with each doubling: ten times that of a law of loss. */
export const LARGEST_EXPONENT = 5;

/** Returns how far an exponent is beyond the wall. */
export const excess = (exponent: number): number =>
  exponent - Math.max(-LARGEST_EXPONENT, Math.min(LARGEST_EXPONENT, exponent));

/** A measured point that a law is fitted to. */
export interface LossPoint {
  readonly parameters: number;
  readonly tokens: number;
  readonly loss: number;
}

/** Which parameters a fit finds, and the values of those that it keeps. */
export interface Problem {
  readonly free: readonly ParameterName[];
  readonly held: LawParameters;
}

type Six = [number, number, number, number, number, number];

/** The index at which α, β and γ begin among the six parameters. */
const FIRST_EXPONENT = 3;

/** The objective over theta, which holds the free ones of (ln E, ln A_c, ln B_c, α, β, γ) in this order. */
export class LawObjective {
  readonly #x: Float64Array;
  readonly #y: Float64Array;
  readonly #logLoss: Float64Array;
  /** The distinct values of `#x`, and the place of each point's among them. */
  readonly #sizes: Float64Array;
  readonly #size: Int32Array;
  readonly #meanX: number;
  readonly #meanY: number;
  readonly #free: readonly number[];
  readonly #problem: Problem;
  readonly #held: readonly number[];
  readonly #row = new Float64Array(6);

  constructor(points: readonly LossPoint[], problem: Problem) {
    const { free, held } = problem;
    this.#problem = problem;
    const x = Float64Array.from(points, ({ parameters }) => Math.log(parameters));
    const y = Float64Array.from(points, ({ tokens }) => Math.log(tokens));
    this.#meanX = mean(x);
    this.#meanY = mean(y);
    this.#x = x.map(value => value - this.#meanX);
    this.#y = y.map(value => value - this.#meanY);
    this.#sizes = Float64Array.from(new Set(this.#x));
    const places = new Map(Array.from(this.#sizes, (value, s) => [value, s]));
    this.#size = Int32Array.from(this.#x, value => places.get(value)!);
    this.#logLoss = Float64Array.from(points, ({ loss }) => Math.log(loss));
    this.#free = parameterNames.flatMap((name, i) => (free.includes(name) ? [i] : []));
    this.#held = this.#centred(held);
  }

  /**
   * Returns the objective at theta, the wall included, and writes its gradient into `gradient`. A fit spends its time
   * in this loop.
   */
  readonly value = (theta: Float64Array, gradient: Float64Array): number => {
    const [logE, logA, logB, alpha, beta, gamma] = this.#all(theta) as Six;
    const [xs, ys, logLoss, size] = [this.#x, this.#y, this.#logLoss, this.#size];
    // E + A/N^α is the same for all points of a size: ln of it, A's share of it, and the sum of slopes by it
    const floor = this.#sizes.map(x => logSum(logE, logA - alpha * x));
    const share = this.#sizes.map((x, s) => Math.exp(logA - alpha * x - floor[s]!));
    const slopes = new Float64Array(floor.length);
    let total = 0;
    let [byE, byA, byB, byAlpha, byBeta, byGamma] = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < xs.length; i++) {
      const x = xs[i]!;
      const y = ys[i]!;
      const s = size[i]!;
      const f = floor[s]!;
      const b = logB - beta * y - gamma * x;
      const ratio = Math.exp(-Math.abs(f - b));
      const residual = Math.max(f, b) + Math.log(1 + ratio) - logLoss[i]!;
      total += huber(residual);
      const slope = huberSlope(residual);
      const slopeB = (slope * (b > f ? 1 : ratio)) / (1 + ratio);
      slopes[s]! += slope - slopeB;
      byB += slopeB;
      byBeta -= slopeB * y;
      byGamma -= slopeB * x;
    }
    for (let s = 0; s < slopes.length; s++) {
      const slopeA = slopes[s]! * share[s]!;
      byE += slopes[s]! - slopeA;
      byA += slopeA;
      byAlpha -= slopeA * this.#sizes[s]!;
    }
    const sums = [byE, byA, byB, byAlpha, byBeta, byGamma];
    const count = this.#x.length;
    for (let k = 0; k < this.#free.length; k++) {
      const j = this.#free[k]!;
      const beyond = j < FIRST_EXPONENT ? 0 : excess(theta[k]!);
      total += (count * beyond * beyond) / 2;
      gradient[k] = sums[j]! + count * beyond;
    }
    return total;
  };

  /** Returns ln L predicted − ln L observed for each point. */
  residuals(theta: Float64Array): number[] {
    const all = this.#all(theta);
    return Array.from(this.#x, (_, i) => this.#predict(all, i, this.#row) - this.#logLoss[i]!);
  }

  /** Returns d ln L predicted / d theta: [points, free]. */
  jacobian(theta: Float64Array): number[][] {
    const all = this.#all(theta);
    return Array.from(this.#x, (_, i) => {
      this.#predict(all, i, this.#row);
      return this.#free.map(j => this.#row[j]!);
    });
  }

  /** Returns the law at theta; the parameters that the problem holds keep every digit. */
  toLaw(theta: Float64Array): LawParameters {
    const [e, a, b, alpha, beta, gamma] = this.#all(theta) as Six;
    const found = {
      E: Math.exp(e),
      A: Math.exp(a + alpha * this.#meanX),
      B: Math.exp(b + beta * this.#meanY + gamma * this.#meanX),
      alpha,
      beta,
      gamma,
    };
    return this.#merged(found);
  }

  /** Returns theta of a law; the parameters that the problem holds are taken from the problem. */
  fromLaw(law: LawParameters): Float64Array {
    const all = this.#centred(this.#merged(law));
    return Float64Array.from(this.#free, j => all[j]!);
  }

  /** Returns the law's free parameters together with those that the problem holds. */
  #merged(law: LawParameters): LawParameters {
    const { free, held } = this.#problem;
    return { ...held, ...Object.fromEntries(free.map(name => [name, law[name]])) };
  }

  #centred({ E, A, B, alpha, beta, gamma }: LawParameters): number[] {
    const a = Math.log(A) - alpha * this.#meanX;
    const b = Math.log(B) - beta * this.#meanY - gamma * this.#meanX;
    return [Math.log(E), a, b, alpha, beta, gamma];
  }

  #all(theta: Float64Array): number[] {
    const all = [...this.#held];
    this.#free.forEach((j, k) => {
      all[j] = theta[k]!;
    });
    return all;
  }

  /** Returns ln L predicted at point i and writes its derivatives by the six parameters into `row`. */
  #predict(all: readonly number[], i: number, row: Float64Array): number {
    const x = this.#x[i]!;
    const y = this.#y[i]!;
    const e = all[0]!;
    const a = all[1]! - all[3]! * x;
    const b = all[2]! - all[4]! * y - all[5]! * x;
    const most = Math.max(e, a, b);
    // the largest of the three is exp(0)
    const p = e === most ? 1 : Math.exp(e - most);
    const q = a === most ? 1 : Math.exp(a - most);
    const r = b === most ? 1 : Math.exp(b - most);
    const sum = p + q + r;
    row[0] = p / sum;
    row[1] = q / sum;
    row[2] = r / sum;
    row[3] = -x * row[1];
    row[4] = -y * row[2];
    row[5] = -x * row[2];
    return most + Math.log(sum);
  }
}

/** Returns ln(e^a + e^b). */
const logSum = (a: number, b: number): number => Math.max(a, b) + Math.log(1 + Math.exp(-Math.abs(a - b)));
