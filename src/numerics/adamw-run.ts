/**
 * A run of AdamW steps in float64, and how far the weights of another right run may be from its weights. AdamW's first
 * updates are nearly lr·sign(g): where a gradient is no larger than its error an update has any sign, elsewhere it is
 * known well. The bound is therefore an element's own.
 */
import { gamma } from './bounds.js';
import type { Weights } from './llama.js';
import { type AdamwState, adamw, type Vector } from './reference.js';
import { adamwBounds } from './update-bounds.js';

type Betas = Readonly<Record<'beta1' | 'beta2' | 'eps', number>>;

/** An element's history: its gradients after clipping, oldest first, and what those of the other run may be off by. */
interface History {
  readonly gradients: readonly Vector[];
  readonly errors: readonly Vector[];
}

/**
 * How far the last update u = m̂ / (√v̂ + ε) may be from that of a run whose gradients g_s are off by at most δ_s, for
 * each element.
 *
 * With a_s = (1−β1) β1^(t−s) / (1−β1^t), and w_s the same of β2, m̂ = Σ a_s g_s, and √v̂ is the length |x| of x, where
 * x_s = √w_s g_s. The other's y differs from x by a vector no longer than δ = √(Σ w_s δ_s²), so that its √v̂ is at
 * least L = √v̂ − δ. Let q = m̂/√v̂ and split the other's m̂ into what lies along x and what lies across it, with e_s
 * its errors:
 *   m̂' = q ⟨x/√v̂, y⟩ + Σ (a_s − q w_s g_s/√v̂) e_s.
 * Over √v̂' + ε the second part is at most Σ |a_s − q w_s g_s/√v̂| δ_s / (L + ε). The first is q |y| cos θ / (|y| + ε)
 * against q √v̂ / (√v̂ + ε) here: they differ by |q| ε δ / ((L + ε)(√v̂ + ε)) for the length, and, as sin θ ≤ δ/√v̂, by
 * |q| (δ/√v̂)² for the angle. At the first step nothing lies across: Adam's sign(g) is sure unless it may flip.
 *
 * Whatever the errors, |u'| ≤ R = √(Σ a_s²/w_s) by Cauchy and Schwarz (1 at the first step), so that |Δu| ≤ |u| + R.
 */
export function updateDeviation({ gradients, errors }: History, { beta1, beta2, eps }: Betas): Vector {
  const t = gradients.length;
  const shares = (beta: number) => gradients.map((_, s) => ((1 - beta) * beta ** (t - 1 - s)) / (1 - beta ** t));
  const [a, w] = [shares(beta1), shares(beta2)];
  const largest = Math.sqrt(a.reduce((sum, share, s) => sum + share ** 2 / w[s]!, 0));
  return gradients[0]!.map((_, i) => {
    let [mean, square, errorSquare] = [0, 0, 0];
    for (let s = 0; s < t; s++) {
      mean += a[s]! * gradients[s]![i]!;
      square += w[s]! * gradients[s]![i]! ** 2;
      errorSquare += w[s]! * errors[s]![i]! ** 2;
    }
    if (errorSquare === 0) return 0;
    const [root, error] = [Math.sqrt(square), Math.sqrt(errorSquare)];
    const cap = Math.abs(mean) / (root + eps) + largest;
    if (error >= root) return cap;
    const q = mean / root;
    let across = 0;
    for (let s = 0; s < t; s++) across += Math.abs(a[s]! - (q * w[s]! * gradients[s]![i]!) / root) * errors[s]![i]!;
    const shortest = root - error + eps;
    const along = Math.abs(q) * ((eps * error) / (shortest * (root + eps)) + (error / root) ** 2);
    return Math.min(cap, across / shortest + along);
  });
}

/** What the loss's gradients are at some weights, before clipping, and their global norm. */
export interface StepGradients {
  readonly gradients: Weights;
  readonly norm: number;
}

export interface AdamwRunSettings extends Betas {
  /** The weight decay of a parameter. */
  readonly decay: (name: string) => number;
  readonly clip: number;
  /** What a gradient in f32 may be off by at given weights, as a share of its tensor's largest; of a norm as well. */
  readonly roundoff: number;
}

/** The float64 run, step by step beside the one that is compared with it. */
export class AdamwRun {
  readonly #settings: AdamwRunSettings;
  readonly #states = new Map<string, AdamwState>();
  readonly #histories = new Map<string, { gradients: Vector[]; errors: Vector[] }>();
  /** What the other run's weights may be off by. */
  readonly bounds: Weights = new Map();
  #step = 0;

  constructor(start: ReadonlyMap<string, ArrayLike<number>>, settings: AdamwRunSettings) {
    this.#settings = settings;
    for (const [name, values] of start) {
      const zeros = () => new Float64Array(values.length);
      this.#states.set(name, { parameter: Float64Array.from(values), m: zeros(), v: zeros() });
      this.#histories.set(name, { gradients: [], errors: [] });
      this.bounds.set(name, zeros());
    }
  }

  /** Weights after the steps made so far. */
  get weights(): Weights {
    return new Map([...this.#states].map(([name, { parameter }]) => [name, parameter]));
  }

  /**
   * A step on the gradients at this run's weights. `other`: the exact gradients at the weights that the other run had
   * before this step, which differ by what its weights are off by; its own are off those by rounding alone. A gradient
   * that is exactly 0 (of a token that is not in the batch) is so in every run.
   */
  advance(own: StepGradients, other: StepGradients, lr: number): void {
    const { beta1, beta2, eps, clip, roundoff } = this.#settings;
    const step = ++this.#step;
    const [factor, otherFactor] = [own, other].map(({ norm }) => Math.min(1, clip / norm)) as [number, number];
    for (const [name, state] of this.#states) {
      const theirs = other.gradients.get(name)!;
      const scale = theirs.reduce((largest, g) => Math.max(largest, Math.abs(g)), 0);
      const gradient = own.gradients.get(name)!.map(g => g * factor);
      const error = gradient.map((g, i) => {
        const exact = theirs[i]!;
        const rounding = exact === 0 ? 0 : otherFactor * roundoff * (scale + 2 * Math.abs(exact));
        return rounding + Math.abs(exact * otherFactor - g);
      });
      const history = this.#histories.get(name)!;
      history.gradients.push(gradient);
      history.errors.push(error);
      const settings = { lr, beta1, beta2, eps, weightDecay: this.#settings.decay(name), clipFactor: 1, step };
      const [correction1, correction2] = [1 / (1 - beta1 ** step), 1 / (1 - beta2 ** step)];
      const kernel = adamwBounds(state, gradient, { ...settings, correction1, correction2 }).parameter;
      adamw(state, gradient, settings);
      // the moments in f32 were rounded at most six times a step, as if their gradients had been off by as much
      const errors = history.errors.map((own, s) =>
        own.map((e, i) => e + gamma(6 * step) * Math.abs(history.gradients[s]![i]!)),
      );
      const deviation = updateDeviation({ gradients: history.gradients, errors }, settings);
      const bound = this.bounds.get(name)!;
      bound.forEach((before, i) => {
        bound[i] = before + lr * deviation[i]! + kernel[i]!;
      });
    }
  }
}
