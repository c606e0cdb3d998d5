/** Causal attention with grouped-query heads in float64: the definition, with the whole T x T matrix in sight. */
import type { Vector } from './reference.js';
import { softCap, softCapSlope } from './soft-cap.js';

export interface AttentionShape {
  readonly B: number;
  readonly T: number;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
  /** What scores are multiplied by: default 1/√D. */
  readonly scale?: number;
  /** The newest keys that a query sees: default all. */
  readonly window?: number | undefined;
  /** What scores are capped at: default nothing. */
  readonly softCap?: number | undefined;
  /** Query rows before this one are left out: default 0. */
  readonly first?: number;
}

/** q [B, T, H, D]; k, v [B, T, KV, D]. */
export interface AttentionInputs {
  readonly q: Vector;
  readonly k: Vector;
  readonly v: Vector;
}

/**
 * Probabilities [B, H, T, T] (zero above the diagonal and before the window), scaled and capped scores likewise, and
 * log-sum-exp [B, H, T].
 */
export function attentionProbabilities({ q, k }: AttentionInputs, shape: AttentionShape) {
  const { B, T, H, KV, D, scale = 1 / Math.sqrt(D), window = T, softCap: cap, first = 0 } = shape;
  const scores = new Float64Array(B * H * T * T);
  const probabilities = new Float64Array(B * H * T * T);
  const logsumexp = new Float64Array(B * H * T);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / KV));
      for (let t = first; t < T; t++) {
        const row = ((b * H + h) * T + t) * T;
        const begin = Math.max(0, t + 1 - window);
        let largest = -Infinity;
        for (let j = begin; j <= t; j++) {
          let sum = 0;
          for (let d = 0; d < D; d++) sum += q[((b * T + t) * H + h) * D + d]! * k[((b * T + j) * KV + g) * D + d]!;
          scores[row + j] = cap === undefined ? scale * sum : softCap(scale * sum, cap);
          largest = Math.max(largest, scores[row + j]!);
        }
        let total = 0;
        for (let j = begin; j <= t; j++) {
          probabilities[row + j] = Math.exp(scores[row + j]! - largest);
          total += probabilities[row + j]!;
        }
        logsumexp[(b * H + h) * T + t] = largest + Math.log(total);
        for (let j = begin; j <= t; j++) probabilities[row + j]! /= total;
      }
    }
  }
  return { scores, probabilities, logsumexp };
}

/** What attentionProbabilities gives: a caller that has it already spares its being made again. */
export type AttentionProbabilities = ReturnType<typeof attentionProbabilities>;

/** out [B, T, H, D] and log-sum-exp [B, H, T]. */
export function attention(
  inputs: AttentionInputs,
  shape: AttentionShape,
  { probabilities, logsumexp }: AttentionProbabilities = attentionProbabilities(inputs, shape),
): { out: Vector; logsumexp: Vector } {
  const { B, T, H, KV, D, first = 0 } = shape;
  const out = new Float64Array(inputs.q.length);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / KV));
      for (let t = first; t < T; t++) {
        for (let j = 0; j <= t; j++) {
          const p = probabilities[((b * H + h) * T + t) * T + j]!;
          for (let d = 0; d < D; d++) {
            out[((b * T + t) * H + h) * D + d]! += p * inputs.v[((b * T + j) * KV + g) * D + d]!;
          }
        }
      }
    }
  }
  return { out, logsumexp };
}

/** dq, dk, dv from dout [B, T, H, D]. */
export function attentionBackward(
  inputs: AttentionInputs,
  dout: Vector,
  shape: AttentionShape,
  { scores, probabilities }: AttentionProbabilities = attentionProbabilities(inputs, shape),
): { dq: Vector; dk: Vector; dv: Vector } {
  const { B, T, H, KV, D, scale = 1 / Math.sqrt(D), softCap: cap, first = 0 } = shape;
  const { q, k, v } = inputs;
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  const dp = new Float64Array(T);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / KV));
      for (let t = first; t < T; t++) {
        const row = ((b * H + h) * T + t) * T;
        const p = probabilities.subarray(row);
        const at = ((b * T + t) * H + h) * D;
        let mean = 0;
        for (let j = 0; j <= t; j++) {
          dp[j] = 0;
          for (let d = 0; d < D; d++) dp[j]! += dout[at + d]! * v[((b * T + j) * KV + g) * D + d]!;
          mean += p[j]! * dp[j]!;
        }
        for (let j = 0; j <= t; j++) {
          const slope = cap === undefined ? 1 : softCapSlope(scores[row + j]!, cap);
          const ds = scale * p[j]! * (dp[j]! - mean) * slope;
          const key = ((b * T + j) * KV + g) * D;
          for (let d = 0; d < D; d++) {
            dq[at + d]! += ds * k[key + d]!;
            dk[key + d]! += ds * q[at + d]!;
            dv[key + d]! += p[j]! * dout[at + d]!;
          }
        }
      }
    }
  }
  return { dq, dk, dv };
}
