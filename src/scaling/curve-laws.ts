/**
 * Laws of whole loss curves, which know the learning rate of every step. N is in them where curves of several sizes are
 * fitted together.
 *
 * `annealing` (Tissue et al. 2024, arXiv 2408.11029; S1 and S2 as in `curve.ts`). With N as Wang et al. 2025 (arXiv
 * 2505.07796, appendix E, equation 7) have it after them, the areas of larger models are worth more for γ > 0:
 *
 *   L = L0 + A·S1^−α − C·S2                 L = L0 + A·S1^−α + B·N^−β − C·S2·N^γ
 *
 * `multi-power` (Luo et al. 2025, arXiv 2503.12811); its term of N is ours, after the one above:
 *
 *   L = L0 + A·S1^−α − B·Σ_k (η_{k−1} − η_k)·(1 − (1 + C·η_k^−γ·S_k)^−β),  S_k = Σ_{i=k..t} η_i      (+ F·N^−φ)
 *
 * Few curves leave its β and γ nearly open: free, they go wherever the noise of a run is described best, and predict
 * longer runs worse. So each has a prior at 1/2 (`FormParameter.prior`).
 *
 * `annealing-cpt` (Wang et al. 2025, section 3.3, equation 4): the source's S1 goes on, what annealed the source
 * (their C1·S2_source) is a constant and in L0, and the shift to the new text comes with S1 of the CPT run. B is above
 * 0 for text like the source's, which is forgotten, and below 0 for the new text:
 *
 *   L = L0 + A·(S1_source + S1)^−α − C·S2 + B·(1 − (1 + E·S1)^−β)
 */
import { annealing, annealingCpt } from './annealing.js';
import type { CurveOptions, SummedPoint } from './curve-points.js';
import type { Form } from './form.js';
import { multiPower } from './multi-power.js';

export type CurveLaw = 'annealing' | 'multi-power' | 'annealing-cpt';
export const curveLaws = ['annealing', 'multi-power', 'annealing-cpt'] as const satisfies readonly CurveLaw[];

/**
 * Returns the form of a law over points of curves.
 * @param sized whether N is in it; if not given, it is where the points have several sizes
 */
export function curveForm(
  law: CurveLaw,
  points: readonly SummedPoint[],
  source?: CurveOptions['source'],
  sized = points.some(({ parameters }) => parameters !== points[0]!.parameters),
): Form {
  if (law === 'multi-power') return multiPower(points, sized);
  return law === 'annealing' ? annealing(points, sized) : annealingCpt(points, source?.S1 ?? 0);
}
