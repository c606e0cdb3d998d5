/** AdamW in float64, right and wrong, and how far a right one may be off where gradients have errors. */
export interface AdamwSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly clip: number;
}

/**
 * How far AdamW's updates up to step k may move a weight apart, in units of the learning rate, when every clipped gradient
 * is off by at most `error`; of an element by its `first` clipped gradient, that of step 1.
 *
 * After j steps the update is u = m̂/(√v̂ + ε) with m̂ = Σ aᵢgᵢ and v̂ = Σ bᵢgᵢ², aᵢ = (1-β₁)β₁^(j-i)/(1-β₁^j) and bᵢ alike of β₂.
 * - In the first step u = g/(|g| + ε), which grows with g: it differs most where g is off by ± error.
 * - By Cauchy and Schwarz |u| ≤ C = √Σ aᵢ²/bᵢ whatever the gradients: an element whose gradients are no larger than their
 *   errors has an update of unknown sign, and differs by at most 2C.
 * - |∂u/∂gᵢ| ≤ (aᵢ + C√bᵢ)/√v̂, since bᵢ|gᵢ| ≤ √bᵢ√v̂, and √v̂ ≥ √b₁|g₁|, which errors make smaller by √b₁·error at most.
 */
export function updateAllowance(
  step: number,
  { beta1, beta2, eps }: AdamwSettings,
): (first: number, error: number) => number {
  const later = Array.from({ length: step - 1 }, (_, before) => {
    const j = before + 2;
    const weights = Array.from({ length: j }, (_, i) => ({
      a: ((1 - beta1) * beta1 ** (j - 1 - i)) / (1 - beta1 ** j),
      b: ((1 - beta2) * beta2 ** (j - 1 - i)) / (1 - beta2 ** j),
    }));
    const most = Math.sqrt(weights.reduce((sum, { a, b }) => sum + (a * a) / b, 0));
    const slope = weights.reduce((sum, { a, b }) => sum + a + most * Math.sqrt(b), 0);
    return { most, slope: slope / Math.sqrt(weights[0]!.b) };
  });
  const firstUpdate = (g: number) => g / (Math.abs(g) + eps);
  return (first, error) => {
    const [low, own, high] = [firstUpdate(first - error), firstUpdate(first), firstUpdate(first + error)];
    const smallest = Math.max(0, Math.abs(first) - error);
    return later.reduce(
      (sum, { most, slope }) => sum + Math.min(2 * most, (slope * error) / smallest),
      Math.max(own - low, high - own),
    );
  };
}

/** What a wrong AdamW does differently. */
export interface Mistake {
  /** Added to the count of steps in the correction of the second moment. */
  readonly late?: number;
  readonly withoutCorrection?: boolean;
  readonly epsInRoot?: boolean;
  readonly swappedBetas?: boolean;
  readonly unclipped?: boolean;
}

/** A weight after the steps of its gradients, which are not clipped yet. */
export function adamwFloat64(
  weight: number,
  gradients: readonly number[],
  norms: readonly number[],
  { learningRate, decay, ...settings }: AdamwSettings & { readonly learningRate: number; readonly decay: number },
  { late = 0, withoutCorrection, epsInRoot, swappedBetas, unclipped }: Mistake = {},
): number {
  const { eps, clip } = settings;
  const [beta1, beta2] = swappedBetas ? [settings.beta2, settings.beta1] : [settings.beta1, settings.beta2];
  let [w, m, v] = [weight, 0, 0];
  gradients.forEach((gradient, i) => {
    const g = gradient * (unclipped ? 1 : Math.min(1, clip / norms[i]!));
    m = beta1 * m + (1 - beta1) * g;
    v = beta2 * v + (1 - beta2) * g * g;
    const mean = withoutCorrection ? m : m / (1 - beta1 ** (i + 1));
    const square = withoutCorrection ? v : v / (1 - beta2 ** (i + 1 + late));
    w -= learningRate * (decay * w + mean / (epsInRoot ? Math.sqrt(square + eps) : Math.sqrt(square) + eps));
  });
  return w;
}
