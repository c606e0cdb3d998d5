/**
 * L-BFGS (Nocedal 1980) with the line search of Lewis & Overton (2013), which finds a weak Wolfe step by bisection and
 * also copes with the kinks in the curvature of a Huber loss.
 */

/** Returns the value at `x` and writes the gradient there into `gradient`. */
export type Differentiable = (x: Float64Array, gradient: Float64Array) => number;

export interface Minimum {
  readonly x: Float64Array;
  readonly value: number;
  readonly iterations: number;
  /** False when the iterations ran out: the gradient is not flat, and some step would still lower the value. */
  readonly converged: boolean;
  /** Whether the search was ended by `isKnown`. */
  readonly known: boolean;
}

export interface MinimizeOptions {
  readonly maxIterations?: number;
  /** Asked at every step: whether where it would end from here is known already, so that it can stop. */
  readonly isKnown?: (x: Float64Array, value: number) => boolean;
}

/** The search is done when no component of the gradient is larger than this. */
const FLAT = 1e-12;
const HISTORY = 10;
const ARMIJO = 1e-4;
const WOLFE = 0.9;
const LINE_STEPS = 50;

export function minimize(
  f: Differentiable,
  start: Float64Array,
  { maxIterations = 2000, isKnown = () => false }: MinimizeOptions = {},
): Minimum {
  let x = Float64Array.from(start);
  let gradient = new Float64Array(x.length);
  let value = f(x, gradient);
  let pairs: Pair[] = [];
  for (let iterations = 0; iterations < maxIterations; iterations++) {
    if (isKnown(x, value)) return { x, value, iterations, converged: true, known: true };
    if (largest(gradient) <= FLAT) return { x, value, iterations, converged: true, known: false };
    let direction = quasiNewton(gradient, pairs);
    if (!(dot(direction, gradient) < 0)) {
      pairs = [];
      direction = gradient.map(g => -g);
    }
    const first = pairs.length > 0 ? 1 : 1 / Math.max(1, largest(gradient));
    const next = lineSearch(f, x, value, gradient, direction, first);
    if (!next) {
      // no step lowers the value beyond rounding: this is the end, unless the direction was only a poor one
      if (pairs.length === 0) return { x, value, iterations, converged: true, known: false };
      pairs = [];
      continue;
    }
    const s = next.x.map((xi, i) => xi - x[i]!);
    const y = next.gradient.map((gi, i) => gi - gradient[i]!);
    const sy = dot(s, y);
    if (sy > 0) pairs = [...pairs.slice(1 - HISTORY), { s, y, sy }];
    ({ x, gradient, value } = next);
  }
  return { x, value, iterations: maxIterations, converged: false, known: false };
}

/** A step, the change of the gradient along it, and the product of the two. */
interface Pair {
  readonly s: Float64Array;
  readonly y: Float64Array;
  readonly sy: number;
}

/** Returns −H·g by the two-loop recursion. */
function quasiNewton(gradient: Float64Array, pairs: readonly Pair[]): Float64Array {
  const q = gradient.map(g => -g);
  const weights: number[] = [];
  for (const { s, y, sy } of pairs.toReversed()) {
    const weight = dot(s, q) / sy;
    weights.push(weight);
    addScaled(q, -weight, y);
  }
  const last = pairs.at(-1);
  if (last) {
    const scale = last.sy / dot(last.y, last.y);
    for (let i = 0; i < q.length; i++) q[i]! *= scale;
  }
  for (const { s, y, sy } of pairs) addScaled(q, weights.pop()! - dot(y, q) / sy, s);
  return q;
}

interface Step {
  readonly x: Float64Array<ArrayBuffer>;
  readonly gradient: Float64Array<ArrayBuffer>;
  readonly value: number;
}

/**
 * Finds a step that lowers the value enough and flattens the slope, or else the best step that lowers the value;
 * returns undefined if there is none.
 */
function lineSearch(
  f: Differentiable,
  x: Float64Array,
  value: number,
  gradient: Float64Array,
  direction: Float64Array,
  first: number,
): Step | undefined {
  const slope = dot(direction, gradient);
  let [low, high, t] = [0, Number.POSITIVE_INFINITY, first];
  let best: Step | undefined;
  for (let i = 0; i < LINE_STEPS; i++) {
    if (-t * slope <= Number.EPSILON * Math.abs(value)) break; // what could be won is lost in rounding
    const at = Float64Array.from(x, (xi, j) => xi + t * direction[j]!);
    const slopes = new Float64Array(x.length);
    const reached = f(at, slopes);
    if (!(reached <= value + ARMIJO * t * slope) || !(reached < value)) {
      high = t;
    } else {
      if (!best || reached < best.value) best = { x: at, gradient: slopes, value: reached };
      if (dot(direction, slopes) >= WOLFE * slope) return { x: at, gradient: slopes, value: reached };
      low = t;
    }
    t = high < Number.POSITIVE_INFINITY ? (low + high) / 2 : 2 * low;
  }
  return best;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

function addScaled(target: Float64Array, factor: number, source: Float64Array): void {
  for (let i = 0; i < target.length; i++) target[i]! += factor * source[i]!;
}

const largest = (values: Float64Array): number => values.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
