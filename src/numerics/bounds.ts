/**
 * Error bounds of the kernels against float64 references on the same stored inputs. They hold for any order of
 * summation and with or without fused multiply-adds. Accuracies are those of the WGSL specification, section 15.7.4
 * "Floating Point Accuracy" (https://www.w3.org/TR/WGSL/#floating-point-accuracy), 1 ulp being at most 2u relative. Two
 * things are not taken from it: additions and multiplications are held to rounding to nearest, where it would allow
 * either neighbour; and it says nothing of subgroup matrices, which are held to γ like any sum.
 *
 * Section 15.7.2 lets a device replace a subnormal operand or result by zero. A bound's absolute part is what that can
 * change: TINY for every result, times whatever the result is multiplied by. It is far below the relative part for all
 * but the smallest values.
 */
import { FORMATS, type Format, type StoredType } from './inputs.js';
import type { MatmulShape, Vector } from './reference.js';
import { matmul } from './reference.js';

/** Unit roundoff of float32. */
export const U = FORMATS.f32.roundoff;
/** Smallest normal float32: results below it may be flushed to zero. */
export const TINY = FORMATS.f32.tiny;

/** γ_n = n·u / (1 − n·u): relative error of n roundings one after the other (Higham, 2002, §3.1). */
export const gamma = (n: number): number => (n * U) / (1 - n * U);

export const DIVISION = 5 * U; // 2.5 ulp
const INVERSE_SQRT = 4 * U; // 2 ulp
export const SQRT = INVERSE_SQRT + DIVISION; // inherited from 1 / inverseSqrt(x)
/** exp: 3 + 2·|x| ulp, plus what the rounding of its argument does. */
export const expError = (x: number): number => 2 * U * (3 + 2 * Math.abs(x)) + U * Math.abs(x);

/**
 * The bound of a result in f32, widened by its rounding to what it is stored as: for f16 half an ulp, or all of a value
 * that may be below the smallest normal half, since it may be flushed to zero.
 */
export function storedError(bound: number, reference: number, type: StoredType): number {
  if (type === 'f32') return bound;
  const { roundoff, tiny } = FORMATS.f16;
  const magnitude = Math.abs(reference);
  const flushed = magnitude - bound < tiny ? Math.min(magnitude + bound, tiny) : 0;
  return bound + Math.max(roundoff * (magnitude + bound), flushed);
}

export const storedBound = (bound: Vector, reference: Vector, type: StoredType): Vector =>
  type === 'f32' ? bound : bound.map((value, i) => storedError(value, reference[i]!, type));

/** What is lost where subnormal values of a type are taken for zero: their magnitudes, 0 elsewhere. */
export const flushedValues = (values: Vector, type: Format): Vector =>
  values.map(value => (Math.abs(value) < FORMATS[type].tiny ? Math.abs(value) : 0));

/** What is lost of A B where subnormal operands are taken for zero: Σ|a·b| over the terms that have one. */
export function flushedProducts(
  a: Vector,
  b: Vector,
  shape: MatmulShape,
  types: Readonly<Record<'a' | 'b', Format>>,
): Vector | undefined {
  const parts = [
    [flushedValues(a, types.a), b],
    [a, flushedValues(b, types.b)],
  ] as const;
  const lost = parts.filter(sides => sides.every(values => values.some(value => value !== 0)));
  if (lost.length === 0) return undefined;
  const sums = lost.map(([left, right]) => matmul(left, right, shape, true));
  return sums.reduce((total, sum) => total.map((value, i) => value + sum[i]!));
}

/**
 * A dot product of K terms: γ_K · Σ|a·b| (Higham, §3.1), and one rounding for the addend. `flushed`: see
 * flushedProducts; each product and each sum may be flushed besides.
 */
export function matmulBound(magnitudes: Vector, K: number, addend?: Vector, flushed?: Vector): Vector {
  return magnitudes.map(
    (sum, i) =>
      gamma(K + 1) * sum +
      (addend ? U * (sum + Math.abs(addend[i]!)) + TINY : 0) +
      (flushed ? flushed[i]! : 0) +
      (2 * K + 1) * TINY,
  );
}

/** x + bias: one rounding of a sum whose operands may be flushed, as it may be itself. */
export const biasBound = (x: Vector, bias: Vector): Vector =>
  x.map((value, i) => U * Math.abs(value + bias[i % bias.length]!) + 3 * TINY);

/**
 * 1/sqrt(mean + eps): C squares summed, divided, eps added (γ_{C+2}, halved by the root, and a division), then 2 ulp.
 */
const rstdError = (C: number): number => gamma(C + 2) / 2 + DIVISION + INVERSE_SQRT;

/**
 * Each of x, x·rstd and the result may be flushed. Squares below TINY vanish beside eps. `widenings`, here and below:
 * the roundings that the weight was made with, where it is 1 + what is stored.
 */
export const rmsnormBound = (y: Vector, weight: Vector, rstd: Vector, C: number, widenings = 0): Vector =>
  y.map((value, i) => {
    const lost = TINY * (1 + Math.abs(weight[i % C]!) * (1 + rstd[Math.floor(i / C)]!));
    return Math.abs(value) * (rstdError(C) + gamma(2 + widenings)) + lost;
  });
export const rstdBound = (rstd: Vector, C: number): Vector => rstd.map(value => value * rstdError(C));

/** dx = rstd·g − x·rstd³/C·Σg·x (+ addend): each part with its own error, and sums of the parts in any order. */
export function rmsnormInputBound(
  { x, weight, rstd, dy }: Record<'x' | 'weight' | 'rstd' | 'dy', Vector>,
  R: number,
  C: number,
  addend?: Vector,
  widenings = 0,
): Vector {
  const bound = new Float64Array(R * C);
  for (let r = 0; r < R; r++) {
    let magnitudes = 0;
    let lost = 0;
    for (let c = 0; c < C; c++) {
      const [g, w, value] = [dy[r * C + c]!, weight[c]!, x[r * C + c]!].map(Math.abs) as [number, number, number];
      magnitudes += g * w * value;
      lost += TINY * (w * value + g * value + g * w + value + 1);
    }
    for (let c = 0; c < C; c++) {
      const i = r * C + c;
      const direct = Math.abs(rstd[r]! * dy[i]! * weight[c]!);
      const slope = (Math.abs(x[i]!) * rstd[r]! ** 3 * magnitudes) / C;
      bound[i] =
        direct * (rstdError(C) + gamma(4 + widenings)) +
        slope * (3 * rstdError(C) + gamma(C + 7 + widenings) + DIVISION) +
        (addend ? gamma(2) * Math.abs(addend[i]!) : 0) +
        ((Math.abs(x[i]!) * rstd[r]! ** 3) / C) * lost +
        TINY * (2 + Math.abs(x[i]!) + (rstd[r]! ** 3 / C) * magnitudes + (1 + rstd[r]!) * Math.abs(weight[c]!));
    }
  }
  return bound;
}

/** dweight: R products of three, summed in parts, added to what was there. */
export function rmsnormWeightBound({ x, rstd, dy }: Record<'x' | 'rstd' | 'dy', Vector>, R: number, C: number): Vector {
  const bound = new Float64Array(C);
  const lost = new Float64Array(C);
  for (let r = 0; r < R; r++) {
    for (let c = 0; c < C; c++) {
      const [g, scaled] = [Math.abs(dy[r * C + c]!), Math.abs(x[r * C + c]! * rstd[r]!)];
      bound[c]! += g * scaled;
      lost[c]! += TINY * (2 + scaled + g * (1 + rstd[r]!));
    }
  }
  return bound.map((sum, c) => sum * (gamma(R + 4) + rstdError(C)) + lost[c]! + TINY);
}

/** Two products and a sum of table entries that were rounded once: γ_3 of the magnitudes. */
export function ropeBound(x: Vector, D: number): Vector {
  const half = D / 2;
  return x.map((value, i) => {
    const partner = i % D < half ? x[i + half]! : x[i - half]!;
    return gamma(3) * (Math.abs(value) + Math.abs(partner)) + 6 * TINY; // two operands, two sines, products, sum
  });
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
/** 1/(1+e): e's error weighs e/(1+e) = 1 − σ; an addition and a division. */
const sigmoidError = (x: number): number => expError(x) * (1 - sigmoid(x)) + U + DIVISION;

/** A sigmoid below TINY, that of g < -87.3, may be flushed, or held at the smallest that exp can give. */
export const swigluBound = (gate: Vector, up: Vector): Vector =>
  gate.map((g, i) => {
    const value = Math.abs(g * sigmoid(g) * up[i]!);
    const lost = TINY * (1 + 2 * Math.abs(up[i]!) + Math.abs(g) + Math.abs(g * up[i]!));
    return value * (sigmoidError(g) + gamma(3)) + lost;
  });

/**
 * GELU as g·σ(a), a = g·(k + c·g²) of five roundings, all of one sign, its constants' among them: they weigh as the
 * argument of exp does.
 */
const geluArgument = (g: number): number => 2 * Math.sqrt(2 / Math.PI) * (g + 0.044715 * g ** 3);
const geluExpError = (a: number): number => expError(a) + gamma(5) * Math.abs(a);
const geluSigmoidError = (a: number): number => geluExpError(a) * (1 - sigmoid(a)) + U + DIVISION;

/** The bound of GELU times up, with what is lost as in `swigluBound`. */
export const gegluBound = (gate: Vector, up: Vector): Vector =>
  gate.map((g, i) => {
    const a = geluArgument(g);
    const value = Math.abs(g * sigmoid(a) * up[i]!);
    const lost = TINY * (1 + 2 * Math.abs(up[i]!) + Math.abs(g) + Math.abs(g * up[i]!));
    return value === 0 ? lost : value * (geluSigmoidError(a) + gamma(3)) + lost;
  });

/** gelu's slope is σ·(1 + g·a′·(1 − σ)), with 1 − σ as a product of exp and σ. */
export function gegluBackwardBounds(gate: Vector, up: Vector, dy: Vector): { dgate: Vector; dup: Vector } {
  const dgate = gate.map((g, i) => {
    const a = geluArgument(g);
    const s = sigmoid(a);
    const steepness = Math.abs(g) < 12 ? Math.abs(g * 2 * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * g ** 2)) : 0;
    const inner = 1 + steepness * (1 - s);
    const innerError = steepness * (1 - s) * (geluExpError(a) + geluSigmoidError(a) + gamma(8)) + inner * gamma(3);
    const [d, u] = [Math.abs(dy[i]!), Math.abs(up[i]!)];
    const lost = TINY * (1 + inner * (1 + u + d + d * u * (1 + Math.abs(g))));
    return s === 0 ? lost : d * u * s * (inner * (geluSigmoidError(a) + gamma(4)) + innerError) + lost;
  });
  return { dgate, dup: gegluBound(gate, dy) };
}

/** The steepest slope of each activation, and the bound of its own rounding. */
const ACTIVATION_BOUNDS = { silu: [1.1, swigluBound], gelu_pytorch_tanh: [1.13, gegluBound] } as const;

/**
 * SwiGLU of products that are off by `gateError` and `upError`: they move silu(gate)·up by 1.1·δ·|up| (silu is steepest
 * at 1.1, gelu at 1.13) and by |gate|·δ at most. Its own rounding is then of a value that moved, which adds less than
 * 2^-10 of the move.
 */
export function swigluOfProductsBound(
  gate: Vector,
  up: Vector,
  gateError: Vector,
  upError: Vector,
  activation: keyof typeof ACTIVATION_BOUNDS = 'silu',
): Vector {
  const [steepest, own] = ACTIVATION_BOUNDS[activation];
  return own(gate, up).map((bound, i) => {
    const [g, u] = [gateError[i]!, upError[i]!];
    const moved = steepest * g * (Math.abs(up[i]!) + u) + Math.abs(gate[i]!) * u;
    return bound + moved * (1 + 2 ** -10);
  });
}

export function swigluBackwardBounds(gate: Vector, up: Vector, dy: Vector): { dgate: Vector; dup: Vector } {
  const dgate = gate.map((g, i) => {
    const s = sigmoid(g);
    const inner = 1 + Math.abs(g) * (1 - s);
    // 1 − σ is off by σ's error and a rounding; then products and a sum
    const innerError = Math.abs(g) * (s * sigmoidError(g) + U) + inner * gamma(3);
    const [d, u] = [Math.abs(dy[i]!), Math.abs(up[i]!)];
    const lost = TINY * (1 + inner * (1 + u + d + d * u * (1 + Math.abs(g))));
    return d * u * s * (inner * (sigmoidError(g) + gamma(4)) + innerError) + lost;
  });
  return { dgate, dup: swigluBound(gate, dy) };
}

/** log: 2^-21 absolute on [0.5, 2], 3 ulp elsewhere. */
export const logError = (x: number): number => Math.max(2 ** -21, 6 * U * Math.abs(Math.log(x)));

export function crossEntropyBounds(
  logits: Vector,
  targets: ArrayLike<number>,
  V: number,
  scale: number,
  weights?: ArrayLike<number>,
): { losses: Vector; dlogits: Vector } {
  const R = targets.length;
  const products = weights ? 1 : 0; // a further one for loss and gradient
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
    const weight = weights?.[r] ?? 1;
    const terms = Math.abs(Math.log(sum)) + Math.abs(largest) + Math.abs(target);
    const error = sumError + logError(sum) + gamma(3 + products) * terms;
    losses[r] = weight * (1 + products * gamma(1)) * error + products * TINY;
    const factor = Math.abs(weight * scale);
    row.forEach((x, v) => {
      const p = Math.exp(x - largest) / sum;
      const own = v === targets[r] ? 1 : 0;
      dlogits[r * V + v] =
        factor * (p * (expError(x - largest) + sumError + DIVISION + gamma(3 + products)) + own * gamma(2 + products)) +
        TINY * (2 + products + 2 * factor);
    });
  }
  return { losses, dlogits };
}

/** scale · Σ values, added to `initial`: n terms summed in any order. */
export function sumBound(values: Vector, scale: number, initial: number): number {
  const magnitude = Math.abs(scale) * values.reduce((sum, value) => sum + Math.abs(value), 0);
  const n = values.length;
  return gamma(n + 2) * magnitude + U * Math.abs(initial) + TINY * (1 + 2 * n * Math.abs(scale) + Math.abs(scale));
}

/** Sums of at most `terms` values each, of which `magnitudes` are given, added to what was there. */
export const columnSumBound = (magnitudes: Vector, terms: number): Vector =>
  magnitudes.map(sum => gamma(terms + 1) * sum + (2 * terms + 1) * TINY);
