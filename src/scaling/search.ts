/** The best of many starts, each followed down to where the objective is flat, or to where another start has been. */
import { type Differentiable, type Minimum, minimize } from './lbfgs.js';

/** What a fit minimises over theta. */
export interface Objective {
  /** Returns the objective at theta, and writes its gradient. */
  readonly value: Differentiable;
  /** Returns ln L predicted − ln L observed for each point. */
  residuals(theta: Float64Array): ArrayLike<number>;
}

/** Told how many starts of a fit, its resamples' included, have been followed. */
export type OnProgress = (done: number, total: number) => void;

/** Returns what is to be called after each of `total` starts. */
export function counting(total: number, onProgress: OnProgress = () => {}): () => void {
  let done = 0;
  return () => onProgress(++done, total);
}

/** What a search has found. */
export interface Found {
  readonly theta: Float64Array;
  readonly value: number;
  readonly starts: number;
  /** How many starts came to this objective, to 1e-6 of it. */
  readonly agreeing: number;
  readonly converged: boolean;
}

/** Two objectives are equal when they differ by less than this share. */
const EQUAL = 1e-6;
/** An objective of about this is zero: the points have no noise, and are fitted to rounding. */
const ZERO = 1e-15;
/** Two laws are the same when they predict ln L equally at every point, to this: a tenth of Huber's δ. */
const SAME_PREDICTION = 1e-4;

/** A minimum with what it predicts. */
interface Place extends Minimum {
  readonly residuals: ArrayLike<number>;
}

/**
 * Returns the best end of several starts, and of equal ends the first. A start is followed no further once it has met
 * an earlier end: its objective is that end's, and so is each of its predictions. It then counts as ending there. The
 * predictions are what tells an end that was met from one that is only passed at the same height.
 */
export function search(objective: Objective, starts: readonly Float64Array[], onDone: () => void = () => {}): Found {
  const places: Place[] = [];
  const values = starts.map(start => {
    const end = minimize(objective.value, start, {
      isKnown: (x, value) => places.some(place => hasMet(objective, place, x, value)),
    });
    if (!end.known) places.push({ ...end, residuals: objective.residuals(end.x) });
    onDone();
    return end.value;
  });
  const lowest = Math.min(...places.map(({ value }) => value));
  const equal = (value: number) => value <= lowest * (1 + EQUAL) + ZERO;
  const best = places.find(({ value }) => equal(value))!;
  return {
    theta: best.x,
    value: best.value,
    starts: starts.length,
    agreeing: values.filter(equal).length,
    converged: best.converged,
  };
}

function hasMet(objective: Objective, place: Place, x: Float64Array, value: number): boolean {
  if (value > place.value * (1 + EQUAL) + ZERO) return false;
  const residuals = objective.residuals(x);
  for (let i = 0; i < residuals.length; i++) {
    if (!(Math.abs(residuals[i]! - place.residuals[i]!) <= SAME_PREDICTION)) return false;
  }
  return true;
}
