/**
 * The loss of a model of N parameters after D tokens, in nats per token:
 *
 *   L(N, D) = E + A / N^α + B / (D^β · N^γ)
 *
 * With γ = 0 it is Hoffmann et al.'s (2022, arXiv 2203.15556), which describes training from scratch; with γ it is the
 * extension by Zheng et al. (2024, arXiv 2407.02118), which describes continual pre-training (CPT).
 */
export interface LawParameters {
  readonly E: number;
  readonly A: number;
  readonly B: number;
  readonly alpha: number;
  readonly beta: number;
  readonly gamma: number;
}

export const parameterNames = ['E', 'A', 'B', 'alpha', 'beta', 'gamma'] as const;
export type ParameterName = (typeof parameterNames)[number];

export function lossAt({ E, A, B, alpha, beta, gamma }: LawParameters, N: number, D: number): number {
  return E + A / N ** alpha + B / (D ** beta * N ** gamma);
}

/**
 * Returns the tokens after which a model of N parameters has this loss.
 * @returns undefined when it never has it, since E + A / N^α is not below the loss.
 */
export function tokensForLoss(law: LawParameters, N: number, loss: number): number | undefined {
  const left = loss - law.E - law.A / N ** law.alpha;
  if (left <= 0) return undefined;
  return (law.B / (left * N ** law.gamma)) ** (1 / law.beta);
}
