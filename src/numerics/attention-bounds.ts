/** Error bounds of attention and its gradient; the terms are those of bounds.ts. */
import {
  type AttentionInputs,
  type AttentionProbabilities,
  type AttentionShape,
  attentionProbabilities,
} from './attention.js';
import { DIVISION, expError, gamma, logError, storedError, TINY, U } from './bounds.js';
import { FORMATS, type StoredType } from './inputs.js';
import type { Vector } from './reference.js';
import { softCapError, softCapSlope, softCapSlopeError } from './soft-cap.js';

export interface AttentionBoundOptions {
  /** Keys between two rescalings. */
  readonly rescale?: number;
  /** What `out` is stored as, and so read by the backward passes. */
  readonly type?: StoredType;
  /** Whether weights and their gradients are rounded to f16 for the products with rows, as subgroup matrices ask. */
  readonly halves?: boolean;
}

/**
 * Bounds of attention and its gradient, [B, T, H, D] or [B, T, KV, D], and of the statistics [B, H, T]. That of `out`
 * is of what is stored; the others are of what is computed (see storedBound). The backward passes may be given what the
 * forward pass computes, or the reference's values rounded.
 */
export function attentionBounds(
  inputs: AttentionInputs,
  out: Vector,
  dout: Vector,
  shape: AttentionShape,
  { rescale = 4, type = 'f32', halves = false }: AttentionBoundOptions = {},
  { scores, probabilities, logsumexp }: AttentionProbabilities = attentionProbabilities(inputs, shape),
) {
  const { B, T, H, KV, D, scale = 1 / Math.sqrt(D), window = T, softCap, first = 0 } = shape;
  const { q, k, v } = inputs;
  const bounds = {
    out: new Float64Array(q.length),
    logsumexp: new Float64Array(B * H * T),
    delta: new Float64Array(B * H * T),
    dq: new Float64Array(q.length),
    dk: new Float64Array(k.length),
    dv: new Float64Array(v.length),
  };
  const scoreError = new Float64Array(T);
  const terms = gamma(T * (H / KV) + 4);
  const { roundoff, tiny } = FORMATS.f16;
  /** What rounding to f16 may change of a value that is off by `error`: those that are subnormal there may be lost. */
  const halved = (value: number, error: number) =>
    !halves ? 0 : value - error > tiny ? roundoff * (value + error) : Math.min(value + error, tiny);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / KV));
      for (let t = first; t < T; t++) {
        const at = ((b * T + t) * H + h) * D;
        const rowAt = ((b * H + h) * T + t) * T;
        const statistic = (b * H + h) * T + t;
        const begin = Math.max(0, t + 1 - window);
        const row = scores.subarray(rowAt, rowAt + t + 1);
        const largest = row.subarray(begin).reduce((x, y) => Math.max(x, y), -Infinity);
        let range = 0;
        let worstScore = 0;
        for (let j = begin; j <= t; j++) {
          const key = ((b * T + j) * KV + g) * D;
          let magnitudes = 0;
          let lost = 0;
          for (let d = 0; d < D; d++) {
            magnitudes += Math.abs(q[at + d]! * k[key + d]!);
            lost += TINY * (1 + Math.abs(q[at + d]!) + 2 * Math.abs(k[key + d]!));
          }
          const error = gamma(D + 3) * magnitudes * scale + lost; // dot product, and the scale twice rounded
          scoreError[j] = softCap === undefined ? error : softCapError(row[j]!, softCap, error);
          worstScore = Math.max(worstScore, scoreError[j]!);
          range = Math.max(range, largest - row[j]!);
        }
        // an unnormalised weight: score and maximum are off, exp, and one rescaling for every few keys
        const rescalings = Math.ceil((t + 1) / rescale) + 1;
        const weightError = 2 * worstScore + expError(range) + rescalings * (expError(0) + U) + 6 * U * range;
        const sumError = weightError + gamma(t + 2);
        bounds.logsumexp[statistic] =
          sumError + logError(Math.max(1, t + 1)) + worstScore + gamma(2) * (Math.abs(largest) + Math.log(t + 1));
        const magnitudes = new Float64Array(D);
        const lost = new Float64Array(D).fill(TINY);
        for (let j = begin; j <= t; j++) {
          const p = probabilities[rowAt + j]!;
          const pHalved = halved(p, p * (weightError + sumError));
          for (let d = 0; d < D; d++) {
            const value = Math.abs(v[((b * T + j) * KV + g) * D + d]!);
            magnitudes[d]! += p * value;
            lost[d]! += TINY * (2 + 2 * value) + pHalved * value;
          }
        }
        let outMagnitude = 0;
        for (let d = 0; d < D; d++) {
          const computed = magnitudes[d]! * (weightError + sumError + gamma(t + 3) + DIVISION) + lost[d]!;
          bounds.out[at + d] = storedError(computed, out[at + d]!, type);
          outMagnitude += Math.abs(dout[at + d]!) * (bounds.out[at + d]! + gamma(D + 1) * Math.abs(out[at + d]!));
        }
        const deltaError = outMagnitude + 2 * D * TINY;
        bounds.delta[statistic] = deltaError;
        let delta = 0;
        for (let d = 0; d < D; d++) delta += dout[at + d]! * out[at + d]!;
        for (let j = begin; j <= t; j++) {
          const key = ((b * T + j) * KV + g) * D;
          const p = probabilities[rowAt + j]!;
          let dp = 0;
          let dpMagnitude = 0;
          let dpLost = 0;
          for (let d = 0; d < D; d++) {
            dp += dout[at + d]! * v[key + d]!;
            dpMagnitude += Math.abs(dout[at + d]! * v[key + d]!);
            dpLost += TINY * (1 + Math.abs(dout[at + d]!) + Math.abs(v[key + d]!));
          }
          const difference = row[j]! - logsumexp[statistic]!;
          const pError =
            scoreError[j]! + bounds.logsumexp[statistic]! + expError(difference) + U * Math.abs(difference);
          const slope = softCap === undefined ? 1 : softCapSlope(row[j]!, softCap);
          const slopeError = softCap === undefined ? 0 : softCapSlopeError(row[j]!, softCap, scoreError[j]!);
          const uncapped = Math.abs(p * (dp - delta)) * scale;
          const ds = uncapped * slope;
          const uncappedError =
            p *
              (pError * Math.abs(dp - delta) +
                gamma(D + 1) * dpMagnitude +
                dpLost +
                deltaError +
                gamma(3) * (Math.abs(dp) + Math.abs(delta))) *
              scale +
            TINY * (1 + Math.abs(dp) + Math.abs(delta));
          const dsError = uncappedError * (slope + slopeError) + uncapped * slopeError;
          // what is rounded is ds without the scale
          const dsHalved = halved(ds / scale, dsError / scale) * scale;
          const pHalved = halved(p, p * pError);
          const ofScore = dsError + dsHalved + terms * ds;
          const ofWeight = p * (pError + terms) + pHalved + TINY;
          const lost = TINY * (2 + ds);
          for (let d = 0; d < D; d++) {
            bounds.dq[at + d]! += Math.abs(k[key + d]!) * ofScore + lost;
            bounds.dk[key + d]! += Math.abs(q[at + d]!) * ofScore + lost;
            bounds.dv[key + d]! += Math.abs(dout[at + d]!) * ofWeight + 2 * TINY;
          }
        }
      }
    }
  }
  return bounds;
}
