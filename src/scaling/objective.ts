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

/** The index at which α, β and γ begin among the six parameters. */
const FIRST_EXPONENT = 3;

/** The objective over theta, which holds the free ones of (ln E, ln A_c, ln B_c, α, β, γ) in this order. */
export class Objective {
  readonly #x: Float64Array;
  readonly #y: Float64Array;
  readonly #logLoss: Float64Array;
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
    this.#logLoss = Float64Array.from(points, ({ loss }) => Math.log(loss));
    this.#free = parameterNames.flatMap((name, i) => (free.includes(name) ? [i] : []));
    this.#held = this.#centred(held);
  }

  /**
   * Returns the objective at theta, the wall included, and writes its gradient into `gradient`. A fit spends its time
   * in this loop.
   */
  readonly value = (theta: Float64Array, gradient: Float64Array): number => {
    const all = this.#all(theta);
    const row = this.#row;
    let total = 0;
    let [e, a, b, alpha, beta, gamma] = [0, 0, 0, 0, 0, 0];
    for (let i = 0; i < this.#x.length; i++) {
      const r = this.#predict(all, i, row) - this.#logLoss[i]!;
      total += huber(r);
      const slope = huberSlope(r);
      e += slope * row[0]!;
      a += slope * row[1]!;
      b += slope * row[2]!;
      alpha += slope * row[3]!;
      beta += slope * row[4]!;
      gamma += slope * row[5]!;
    }
    const sums = [e, a, b, alpha, beta, gamma];
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
    const [e, a, b, alpha, beta, gamma] = this.#all(theta) as [number, number, number, number, number, number];
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

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
