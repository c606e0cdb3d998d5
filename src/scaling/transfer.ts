/** What CPT saves over training from scratch according to the two laws. Losses are in nats per token. */
import { allocate, computeForLoss } from './allocation.js';
import { type LawParameters, lossAt, tokensForLoss } from './law.js';

/** CPT against scratch with one model size. Shares are of scratch's FLOPs, and negative where CPT needs more. */
export interface Transfer {
  readonly N: number;
  readonly D: number;
  /** The loss of CPT after D tokens. */
  readonly loss: number;
  /** The loss of scratch after as many tokens. */
  readonly lossScratch: number;
  /** The tokens that scratch needs for CPT's loss; null when none are enough. */
  readonly scratchTokens: number | null;
  /** scratchTokens − D. */
  readonly effectivelyTransferred: number | null;
  /** 1 − D / scratchTokens: at one size, FLOPs are proportional to tokens. */
  readonly flopsSaved: number | null;
}

export function transferAt(scratch: LawParameters, cpt: LawParameters, N: number, D: number): Transfer {
  const loss = lossAt(cpt, N, D);
  const scratchTokens = tokensForLoss(scratch, N, loss);
  const known = scratchTokens !== undefined;
  return {
    N,
    D,
    loss,
    lossScratch: lossAt(scratch, N, D),
    scratchTokens: scratchTokens ?? null,
    effectivelyTransferred: known ? scratchTokens - D : null,
    flopsSaved: known ? 1 - D / scratchTokens : null,
  };
}

/**
 * Returns the share of FLOPs saved between the two optima: it compares C with the compute at which scratch's best loss
 * equals CPT's best loss at C.
 * @returns undefined when scratch has no such compute.
 */
export function savedAtOptimum(scratch: LawParameters, cpt: LawParameters, C: number): number | undefined {
  const needed = computeForLoss(scratch, allocate(cpt, C).loss);
  return needed === undefined ? undefined : 1 - C / needed;
}

/**
 * Returns up to how many tokens CPT is ahead of scratch at one size, for laws that share E, A and α as a CPT fit does:
 * B'/(D^β'·N^γ) < B/D^β as long as D < (B·N^γ/B')^(1/(β−β')).
 * @returns undefined when the laws don't share them, or CPT does not fall back as tokens grow (β' ≥ β).
 */
export function tokensWhereAhead(scratch: LawParameters, cpt: LawParameters, N: number): number | undefined {
  const shared = scratch.E === cpt.E && scratch.A === cpt.A && scratch.alpha === cpt.alpha && scratch.gamma === 0;
  if (!shared || cpt.beta >= scratch.beta) return undefined;
  return ((scratch.B * N ** cpt.gamma) / cpt.B) ** (1 / (scratch.beta - cpt.beta));
}
