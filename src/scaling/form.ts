/**
 * A law as a function of named parameters, and the objective that is minimised to find them: the sum over the points of
 * weight · Huber_δ(ln L predicted − ln L observed), δ as in `objective.ts`.
 */
import { excess, HUBER_DELTA, huber, huberSlope } from './objective.js';
import type { Objective } from './search.js';

export interface FormParameter {
  readonly name: string;
  /** A `positive` parameter is searched in its logarithm; an `exponent` is kept within ±LARGEST_EXPONENT. */
  readonly kind: 'positive' | 'exponent' | 'real';
  /** Where random starts are drawn, evenly; evenly in the logarithm if positive. */
  readonly start: readonly [low: number, high: number];
  /**
   * Where an exponent stays if the points say nothing of it: to be off by 1 costs as much as an error of δ at every
   * point.
   */
  readonly prior?: number;
  /**
   * Set for a coefficient of x^−exponent: the mean of ln x over the points. The form's own value is the coefficient of
   * (x / mean)^−exponent, so that the two are nearly uncorrelated.
   */
  readonly centre?: { readonly exponent: string; readonly log: number };
}

/** A law over points whose quantities it knows; point i is the i-th of them. */
export interface Form {
  readonly parameters: readonly FormParameter[];
  readonly points: number;
  /** Returns the loss of point i, and writes its derivatives by the parameters. Coefficients are centred. */
  predict(values: Float64Array, i: number, slopes: Float64Array): number;
}

/** ParameterValues of parameters by name, coefficients as the law's formula has them. */
export type ParameterValues = Readonly<Record<string, number>>;

export interface FormOptions {
  /** Parameters that are not searched, and what they are kept at. */
  readonly held?: ParameterValues;
  /** The weight of each point, for instance how often a resample has drawn it; 1 unless given. */
  readonly weights?: ArrayLike<number>;
}

/** Returns what makes a coefficient of the formula a centred one. */
const centring = (centre: FormParameter['centre'], values: ParameterValues): number =>
  centre ? Math.exp(-values[centre.exponent]! * centre.log) : 1;

/** The objective over theta, which holds the free parameters in the form's order. */
export class FormObjective implements Objective {
  readonly free: readonly number[];
  readonly #form: Form;
  readonly #logLoss: Float64Array;
  readonly #weights: ArrayLike<number>;
  readonly #values: Float64Array;
  readonly #slopes: Float64Array;
  readonly #total: number;

  constructor(form: Form, losses: readonly number[], { held = {}, weights }: FormOptions = {}) {
    this.#form = form;
    this.#logLoss = Float64Array.from(losses, Math.log);
    this.#weights = weights ?? new Float64Array(form.points).fill(1);
    this.free = form.parameters.flatMap(({ name }, j) => (name in held ? [] : [j]));
    this.#values = Float64Array.from(form.parameters, ({ name, centre }) =>
      name in held ? held[name]! * centring(centre, held) : 0,
    );
    this.#slopes = new Float64Array(form.parameters.length);
    this.#total = Array.from(this.#weights).reduce((sum, weight) => sum + weight, 0);
  }

  readonly value = (theta: Float64Array, gradient: Float64Array): number => {
    this.#set(theta);
    gradient.fill(0);
    let total = 0;
    for (let i = 0; i < this.#form.points; i++) {
      const weight = this.#weights[i]!;
      if (weight === 0) continue;
      const loss = this.#form.predict(this.#values, i, this.#slopes);
      // no loss is negative: a step that leads there is too long
      if (!(loss > 0)) return Number.POSITIVE_INFINITY;
      const residual = Math.log(loss) - this.#logLoss[i]!;
      total += weight * huber(residual);
      const slope = (weight * huberSlope(residual)) / loss;
      for (let k = 0; k < this.free.length; k++) gradient[k]! += slope * this.#slopeOf(this.free[k]!);
    }
    for (let k = 0; k < this.free.length; k++) {
      const { kind, prior } = this.#form.parameters[this.free[k]!]!;
      if (kind !== 'exponent') continue;
      const beyond = excess(theta[k]!);
      const off = prior === undefined ? 0 : HUBER_DELTA * (theta[k]! - prior);
      total += (this.#total * (beyond * beyond + off * off)) / 2;
      gradient[k]! += this.#total * (beyond + (prior === undefined ? 0 : HUBER_DELTA * off));
    }
    return total;
  };

  /** Returns ln L predicted − ln L observed for each point; NaN where the prediction is not positive. */
  residuals(theta: Float64Array): Float64Array {
    this.#set(theta);
    return this.#logLoss.map((logLoss, i) => Math.log(this.#form.predict(this.#values, i, this.#slopes)) - logLoss);
  }

  /** Returns d ln L predicted / d theta: [points, free]. */
  jacobian(theta: Float64Array): number[][] {
    this.#set(theta);
    return Array.from(this.#logLoss, (_, i) => {
      const loss = this.#form.predict(this.#values, i, this.#slopes);
      return this.free.map(j => this.#slopeOf(j) / loss);
    });
  }

  toValues(theta: Float64Array): ParameterValues {
    this.#set(theta);
    const own = Object.fromEntries(this.#form.parameters.map(({ name }, j) => [name, this.#values[j]!]));
    return Object.fromEntries(
      this.#form.parameters.map(({ name, centre }) => [name, own[name]! / centring(centre, own)]),
    );
  }

  fromValues(values: ParameterValues): Float64Array {
    return Float64Array.from(this.free, j => {
      const { name, kind, centre } = this.#form.parameters[j]!;
      const own = values[name]! * centring(centre, values);
      return kind === 'positive' ? Math.log(own) : own;
    });
  }

  #set(theta: Float64Array): void {
    for (let k = 0; k < this.free.length; k++) {
      const j = this.free[k]!;
      this.#values[j] = this.#form.parameters[j]!.kind === 'positive' ? Math.exp(theta[k]!) : theta[k]!;
    }
  }

  /** Returns the derivative of the last prediction by the j-th entry of theta. */
  #slopeOf(j: number): number {
    const slope = this.#slopes[j]!;
    return this.#form.parameters[j]!.kind === 'positive' ? slope * this.#values[j]! : slope;
  }
}

/** Returns the losses that a form predicts with these values. */
export function predictAll(form: Form, values: ParameterValues): number[] {
  const all = Float64Array.from(form.parameters, ({ name, centre }) => values[name]! * centring(centre, values));
  const slopes = new Float64Array(all.length);
  return Array.from({ length: form.points }, (_, i) => form.predict(all, i, slopes));
}
