/**
 * Error bounds of the kernels against float64 references on the same float32 inputs. They hold for any order of
 * summation and with or without fused multiply-adds. Accuracies are those of the WGSL specification, section "Floating
 * Point Accuracy" (https://www.w3.org/TR/WGSL/#floating-point-accuracy), 1 ulp being at most 2u relative.
 */
import { type AttentionInputs, type AttentionShape, attentionProbabilities } from './attention.js';
import type { Vector } from './reference.js';

/** Unit roundoff of float32. */
export const U = 2 ** -24;
/** Smallest normal float32: results below it may be flushed to zero. */
const TINY = 2 ** -126;

/** γ_n = n·u / (1 − n·u): relative error of n roundings one after the other (Higham, 2002, §3.1). */
export const gamma = (n: number): number => (n * U) / (1 - n * U);

const DIVISION = 5 * U; // 2.5 ulp
const INVERSE_SQRT = 4 * U; // 2 ulp
/** exp: 3 + 2·|x| ulp, plus what the rounding of its argument does. */
const expError = (x: number): number => 2 * U * (3 + 2 * Math.abs(x)) + U * Math.abs(x);

/** A dot product of K terms: γ_K · Σ|a·b| (Higham, §3.1), and one rounding for the addend. */
export function matmulBound(magnitudes: Vector, K: number, addend?: Vector): Vector {
  return magnitudes.map((sum, i) => gamma(K + 1) * sum + (addend ? U * (sum + Math.abs(addend[i]!)) : 0) + TINY);
}

/** 1/sqrt(mean + eps): C squares summed, divided, eps added (γ_{C+2}, halved by the root, and a division), then 2 ulp. */
const rstdError = (C: number): number => gamma(C + 2) / 2 + DIVISION + INVERSE_SQRT;

export const rmsnormBound = (y: Vector, C: number): Vector =>
  y.map(value => Math.abs(value) * (rstdError(C) + gamma(2)) + TINY);
export const rstdBound = (rstd: Vector, C: number): Vector => rstd.map(value => value * rstdError(C));

/** dx = rstd·g − x·rstd³/C·Σg·x: each part with its own error, and the subtraction. */
export function rmsnormInputBound(
  { x, weight, rstd, dy }: Record<'x' | 'weight' | 'rstd' | 'dy', Vector>,
  R: number,
  C: number,
  addend?: Vector,
): Vector {
  const bound = new Float64Array(R * C);
  for (let r = 0; r < R; r++) {
    let magnitudes = 0;
    for (let c = 0; c < C; c++) magnitudes += Math.abs(dy[r * C + c]! * weight[c]! * x[r * C + c]!);
    for (let c = 0; c < C; c++) {
      const i = r * C + c;
      const direct = Math.abs(rstd[r]! * dy[i]! * weight[c]!);
      const slope = (Math.abs(x[i]!) * rstd[r]! ** 3 * magnitudes) / C;
      bound[i] =
        direct * (rstdError(C) + gamma(4)) +
        slope * (3 * rstdError(C) + gamma(C + 7) + DIVISION) +
        (addend ? U * Math.abs(addend[i]!) : 0) +
        TINY;
    }
  }
  return bound;
}

/** dweight: R products of three, summed in parts, added to what was there. */
export function rmsnormWeightBound({ x, rstd, dy }: Record<'x' | 'rstd' | 'dy', Vector>, R: number, C: number): Vector {
  const bound = new Float64Array(C);
  for (let r = 0; r < R; r++) {
    for (let c = 0; c < C; c++) bound[c]! += Math.abs(dy[r * C + c]! * x[r * C + c]! * rstd[r]!);
  }
  return bound.map(sum => sum * (gamma(R + 4) + rstdError(C)) + TINY);
}

/** Two products and a sum of table entries that were rounded once: γ_3 of the magnitudes. */
export function ropeBound(x: Vector, D: number): Vector {
  const half = D / 2;
  return x.map((value, i) => {
    const partner = i % D < half ? x[i + half]! : x[i - half]!;
    return gamma(3) * (Math.abs(value) + Math.abs(partner)) + TINY;
  });
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** 1/(1+e): e's error weighs e/(1+e) = 1 − σ; an addition and a division. */
const sigmoidError = (x: number): number => expError(x) * (1 - sigmoid(x)) + U + DIVISION;

export const swigluBound = (gate: Vector, up: Vector): Vector =>
  gate.map((g, i) => Math.abs(g * sigmoid(g) * up[i]!) * (sigmoidError(g) + gamma(3)) + TINY);

export function swigluBackwardBounds(gate: Vector, up: Vector, dy: Vector): { dgate: Vector; dup: Vector } {
  const dgate = gate.map((g, i) => {
    const s = sigmoid(g);
    const inner = 1 + Math.abs(g) * (1 - s);
    // 1 − σ is off by σ's error and a rounding; then products and a sum
    const innerError = Math.abs(g) * (s * sigmoidError(g) + U) + inner * gamma(3);
    return Math.abs(dy[i]! * up[i]! * s) * (inner * (sigmoidError(g) + gamma(4)) + innerError) + TINY;
  });
  return { dgate, dup: swigluBound(gate, dy) };
}

/** log: 2^-21 absolute on [0.5, 2], 3 ulp elsewhere. */
const logError = (x: number): number => Math.max(2 ** -21, 6 * U * Math.abs(Math.log(x)));

export function crossEntropyBounds(
  logits: Vector,
  targets: ArrayLike<number>,
  V: number,
  scale: number,
): { losses: Vector; dlogits: Vector } {
  const R = targets.length;
  const losses = new Float64Array(R);
  const dlogits = new Float64Array(R * V);
  for (let r = 0; r < R; r++) {
    const row = logits.subarray(r * V, (r + 1) * V);
    const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
    let sum = 0;
    let weighted = 0;
    for (const x of row) {
      sum += Math.exp(x - largest);
      weighted += Math.exp(x - largest) * expError(x - largest);
    }
    const sumError = weighted / sum + gamma(V);
    const target = row[targets[r]!]!;
    losses[r] = sumError + logError(sum) + gamma(3) * (Math.abs(Math.log(sum)) + Math.abs(largest) + Math.abs(target));
    row.forEach((x, v) => {
      const p = Math.exp(x - largest) / sum;
      const own = v === targets[r] ? 1 : 0;
      dlogits[r * V + v] =
        Math.abs(scale) * (p * (expError(x - largest) + sumError + DIVISION + gamma(3)) + own * gamma(2)) + TINY;
    });
  }
  return { losses, dlogits };
}

/** Bounds of attention and its gradient, [B, T, H, D] or [B, T, KV, D]. `rescale`: keys between two rescalings. */
export function attentionBounds(
  inputs: AttentionInputs,
  out: Vector,
  dout: Vector,
  shape: AttentionShape,
  rescale = 4,
) {
  const { B, T, H, KV, D } = shape;
  const { q, k, v } = inputs;
  const { scores, probabilities, logsumexp } = attentionProbabilities(inputs, shape);
  const bounds = {
    out: new Float64Array(q.length),
    logsumexp: new Float64Array(B * H * T),
    dq: new Float64Array(q.length),
    dk: new Float64Array(k.length),
    dv: new Float64Array(v.length),
  };
  const scoreError = new Float64Array(T);
  for (let b = 0; b < B; b++) {
    for (let h = 0; h < H; h++) {
      const g = Math.floor(h / (H / KV));
      for (let t = 0; t < T; t++) {
        const at = ((b * T + t) * H + h) * D;
        const rowAt = ((b * H + h) * T + t) * T;
        const statistic = (b * H + h) * T + t;
        const row = scores.subarray(rowAt, rowAt + t + 1);
        const largest = row.reduce((x, y) => Math.max(x, y), -Infinity);
        let range = 0;
        let worstScore = 0;
        for (let j = 0; j <= t; j++) {
          let magnitudes = 0;
          for (let d = 0; d < D; d++) magnitudes += Math.abs(q[at + d]! * k[((b * T + j) * KV + g) * D + d]!);
          scoreError[j] = (gamma(D + 3) * magnitudes) / Math.sqrt(D); // dot product, and the scale twice rounded
          worstScore = Math.max(worstScore, scoreError[j]!);
          range = Math.max(range, largest - row[j]!);
        }
        // an unnormalised weight: score and maximum are off, exp, and one rescaling for every few keys
        const rescalings = Math.ceil((t + 1) / rescale) + 1;
        const weightError = 2 * worstScore + expError(range) + rescalings * (expError(0) + U) + 6 * U * range;
        const sumError = weightError + gamma(t + 2);
        bounds.logsumexp[statistic] =
          sumError + logError(Math.max(1, t + 1)) + worstScore + gamma(2) * (Math.abs(largest) + Math.log(t + 1));
        let outMagnitude = 0;
        for (let d = 0; d < D; d++) {
          let magnitudes = 0;
          for (let j = 0; j <= t; j++) {
            magnitudes += probabilities[rowAt + j]! * Math.abs(v[((b * T + j) * KV + g) * D + d]!);
          }
          bounds.out[at + d] = magnitudes * (weightError + sumError + gamma(t + 3) + DIVISION) + TINY;
          outMagnitude += Math.abs(dout[at + d]!) * (bounds.out[at + d]! + gamma(D + 1) * Math.abs(out[at + d]!));
        }
        const deltaError = outMagnitude;
        let delta = 0;
        for (let d = 0; d < D; d++) delta += dout[at + d]! * out[at + d]!;
        for (let j = 0; j <= t; j++) {
          const key = ((b * T + j) * KV + g) * D;
          const p = probabilities[rowAt + j]!;
          let dp = 0;
          let dpMagnitude = 0;
          for (let d = 0; d < D; d++) {
            dp += dout[at + d]! * v[key + d]!;
            dpMagnitude += Math.abs(dout[at + d]! * v[key + d]!);
          }
          const difference = row[j]! - logsumexp[statistic]!;
          const pError =
            scoreError[j]! + bounds.logsumexp[statistic]! + expError(difference) + U * Math.abs(difference);
          const ds = Math.abs(p * (dp - delta)) / Math.sqrt(D);
          const dsError =
            (p *
              (pError * Math.abs(dp - delta) +
                gamma(D + 1) * dpMagnitude +
                deltaError +
                gamma(3) * (Math.abs(dp) + Math.abs(delta)))) /
            Math.sqrt(D);
          const terms = gamma(T * (H / KV) + 4);
          for (let d = 0; d < D; d++) {
            bounds.dq[at + d]! += Math.abs(k[key + d]!) * (dsError + terms * ds) + TINY;
            bounds.dk[key + d]! += Math.abs(q[at + d]!) * (dsError + terms * ds) + TINY;
            bounds.dv[key + d]! += Math.abs(dout[at + d]!) * p * (pError + terms) + TINY;
          }
        }
      }
    }
  }
  return bounds;
}
