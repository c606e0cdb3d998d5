/**
 * The best split of compute between parameters and tokens under C = 6·N·D:
 *
 *   G = (αA / ((β−γ)B))^(1/(α+β−γ)),  N_opt = G·(C/6)^a,  D_opt = (C/6)^b / G,
 *   a = β/(α+β−γ),  b = (α−γ)/(α+β−γ)
 *
 * (Hoffmann et al. 2022, equation 4; with γ Zheng et al. 2024.)
 */
import { UserError } from '../errors.js';
import { type LawParameters, lossAt } from './law.js';

/** Training FLOPs per token and parameter: 2 for the forward pass, 4 for the backward pass. */
const FLOPS = 6;

export interface Allocation {
  /** The compute in FLOPs. */
  readonly C: number;
  readonly N_opt: number;
  readonly D_opt: number;
  /** The loss at the optimum, in nats per token. */
  readonly loss: number;
  readonly a: number;
  readonly b: number;
  readonly G: number;
}

/** The exponents by which N_opt (a) and D_opt (b) grow with compute; a + b = 1. */
export function exponents({ alpha, beta, gamma }: LawParameters): { readonly a: number; readonly b: number } {
  const sum = alpha + beta - gamma;
  return { a: beta / sum, b: (alpha - gamma) / sum };
}

/** Returns G of the formulas above; NaN when the law has no optimum. */
export function allocationFactor({ A, B, alpha, beta, gamma }: LawParameters): number {
  return ((alpha * A) / ((beta - gamma) * B)) ** (1 / (alpha + beta - gamma));
}

/** Whether the law has an optimum. If it has none, the best model for any compute is ever larger, or ever smaller. */
export const hasOptimum = ({ A, B, alpha, beta, gamma }: LawParameters): boolean =>
  A > 0 && B > 0 && alpha > 0 && beta > gamma;

function checkOptimum(law: LawParameters): void {
  if (hasOptimum(law)) return;
  const { A, B, alpha, beta, gamma } = law;
  throw new UserError(
    `the law has no best split of compute: it needs A, B and alpha above 0 and beta above gamma, and has ` +
      `A ${A}, B ${B}, alpha ${alpha}, beta ${beta}, gamma ${gamma}`,
  );
}

/** Returns the best split of `C` FLOPs. @throws UserError when the law has no optimum. */
export function allocate(law: LawParameters, C: number): Allocation {
  checkOptimum(law);
  const { a, b } = exponents(law);
  const G = allocationFactor(law);
  const N_opt = G * (C / FLOPS) ** a;
  const D_opt = (C / FLOPS) ** b / G;
  return { C, N_opt, D_opt, loss: lossAt(law, N_opt, D_opt), a, b, G };
}

/** What a plan starts from: FLOPs, or the tokens or parameters that the optimum is to have. */
export interface Budget {
  readonly compute?: number | undefined;
  readonly tokens?: number | undefined;
  readonly parameters?: number | undefined;
}

/**
 * Returns the FLOPs of a budget: the given FLOPs; or 6·N·D when N and D are both given; or the FLOPs whose optimum has
 * the given parameters or tokens.
 * @throws UserError when nothing is given, or no compute has such an optimum.
 */
export function computeOf(law: LawParameters, { compute, tokens, parameters }: Budget): number {
  if (compute !== undefined) {
    if (tokens === undefined && parameters === undefined) return compute;
    throw new UserError('give compute, or parameters and tokens: compute is 6 · parameters · tokens');
  }
  if (tokens !== undefined && parameters !== undefined) return FLOPS * parameters * tokens;
  checkOptimum(law);
  const { a, b } = exponents(law);
  const G = allocationFactor(law);
  if (parameters !== undefined) return FLOPS * (parameters / G) ** (1 / a);
  if (tokens === undefined) throw new UserError('give compute, tokens or parameters to plan with');
  if (b <= 0) {
    throw new UserError(
      `no compute has ${tokens} tokens as its optimum: with alpha ${law.alpha} not above gamma ${law.gamma}, more ` +
        'compute means fewer tokens; give --compute or --parameters',
    );
  }
  return FLOPS * (tokens * G) ** (1 / b);
}

/**
 * Returns the FLOPs whose optimum has this loss. At the optimum αA/N^α = (β−γ)B/(D^β·N^γ), so that L − E = (1 +
 * α/(β−γ))·A/N^α.
 * @returns undefined when no compute is enough.
 */
export function computeForLoss(law: LawParameters, loss: number): number | undefined {
  const { E, A, alpha, beta, gamma } = law;
  checkOptimum(law);
  if (loss <= E) return undefined;
  const N = ((A * (1 + alpha / (beta - gamma))) / (loss - E)) ** (1 / alpha);
  return FLOPS * (N / allocationFactor(law)) ** (1 / exponents(law).a);
}
