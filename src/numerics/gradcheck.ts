/** Central differences: the proof that an analytic gradient is the gradient. */
import type { Vector } from './reference.js';

/**
 * The truncation error of a central difference is about h²·f‴/6, its rounding error about u·f/h (u = 2^-53): they
 * balance at h ~ u^(1/3) times the scale of x, and the error is then about u^(2/3) ~ 1e-11 of f.
 */
const STEP = Number.EPSILON ** (1 / 3);

export interface GradientDeviation {
  /** |analytic - numeric| / max(1, |analytic|, |numeric|) */
  readonly deviation: number;
  readonly index: number;
  readonly analytic: number;
  readonly numeric: number;
}

/**
 * Compares `gradient` with central differences of `f` around `x` (which is changed and put back).
 * @returns the worst element; of large inputs every n-th is looked at, at most `most` of them.
 */
export function gradientDeviation(f: () => number, x: Vector, gradient: Vector, most = 200): GradientDeviation {
  let worst: GradientDeviation = { deviation: 0, index: -1, analytic: 0, numeric: 0 };
  const every = Math.max(1, Math.ceil(x.length / most));
  for (let i = 0; i < x.length; i += every) {
    const kept = x[i]!;
    const h = STEP * Math.max(1, Math.abs(kept));
    x[i] = kept + h;
    const above = f();
    x[i] = kept - h;
    const below = f();
    x[i] = kept;
    const numeric = (above - below) / (2 * h);
    const analytic = gradient[i]!;
    const deviation = Math.abs(analytic - numeric) / Math.max(1, Math.abs(analytic), Math.abs(numeric));
    if (!(deviation <= worst.deviation)) worst = { deviation, index: i, analytic, numeric };
  }
  return worst;
}
