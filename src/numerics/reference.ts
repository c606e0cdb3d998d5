/**
 * Every operation and its gradient in float64: plain loops over plain arrays, one function per op, nothing shared with
 * the kernels. Arrays are row-major.
 */

export type Vector = Float64Array;
const zeros = (n: number): Vector => new Float64Array(n);

/** op(A) op(B) [M, N]: A is [M, K], or [K, M] where `transposeA`; B is [K, N], or [N, K] where `transposeB`. */
export interface MatmulShape {
  readonly M: number;
  readonly N: number;
  readonly K: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** `magnitudes` gives sums of absolute products instead, for error bounds. */
export function matmul(a: Vector, b: Vector, shape: MatmulShape, magnitudes = false): Vector {
  const { M, N, K, transposeA, transposeB } = shape;
  const c = zeros(M * N);
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0; k < K; k++) {
        const product = a[transposeA ? k * M + m : m * K + k]! * b[transposeB ? n * K + k : k * N + n]!;
        sum += magnitudes ? Math.abs(product) : product;
      }
      c[m * N + n] = sum;
    }
  }
  return c;
}

/** x [R, N] with bias [N] added to each row. */
export const addBias = (x: Vector, bias: Vector): Vector => x.map((value, i) => value + bias[i % bias.length]!);

/** Sums of the columns of x [R, N]: a bias's gradient. */
export function columnSums(x: Vector, N: number): Vector {
  const sums = zeros(N);
  x.forEach((value, i) => {
    sums[i % N]! += value;
  });
  return sums;
}

/** y = x / sqrt(mean(x²) + eps) * weight;  x [R, C]. */
export function rmsnorm(x: Vector, weight: Vector, R: number, C: number, eps: number): { y: Vector; rstd: Vector } {
  const y = zeros(R * C);
  const rstd = zeros(R);
  for (let r = 0; r < R; r++) {
    let squares = 0;
    for (let c = 0; c < C; c++) squares += x[r * C + c]! ** 2;
    rstd[r] = 1 / Math.sqrt(squares / C + eps);
    for (let c = 0; c < C; c++) y[r * C + c] = x[r * C + c]! * rstd[r]! * weight[c]!;
  }
  return { y, rstd };
}

export function rmsnormBackward(
  x: Vector,
  weight: Vector,
  rstd: Vector,
  dy: Vector,
  R: number,
  C: number,
): { dx: Vector; dweight: Vector } {
  const dx = zeros(R * C);
  const dweight = zeros(C);
  for (let r = 0; r < R; r++) {
    let inner = 0;
    for (let c = 0; c < C; c++) inner += dy[r * C + c]! * weight[c]! * x[r * C + c]!;
    for (let c = 0; c < C; c++) {
      const i = r * C + c;
      dx[i] = rstd[r]! * dy[i]! * weight[c]! - (x[i]! * rstd[r]! ** 3 * inner) / C;
      dweight[c]! += dy[i]! * x[i]! * rstd[r]!;
    }
  }
  return { dx, dweight };
}

/** The scaling of rotary frequencies, as a model's configuration has it. */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    };

/** A rotary frequency after scaling, by wavelengths, as transformers' modeling_rope_utils.py writes it down. */
function scaledFrequency(frequency: number, scaling: RopeScaling): number {
  if (scaling.type === 'linear') return frequency / scaling.factor;
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings: original } = scaling;
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < original / highFreqFactor) return frequency;
  if (wavelength > original / lowFreqFactor) return frequency / factor;
  const smooth = (original / wavelength - lowFreqFactor) / (highFreqFactor - lowFreqFactor);
  return (1 - smooth) * (frequency / factor) + smooth * frequency;
}

/** Rotary embedding of x [B, T, H, D], half-split; `direction` -1 rotates back, which is the gradient. */
export function rope(
  x: Vector,
  B: number,
  T: number,
  H: number,
  D: number,
  theta: number,
  direction: 1 | -1,
  scaling?: RopeScaling,
): Vector {
  const frequencies = Float64Array.from({ length: D / 2 }, (_, i) => {
    const frequency = theta ** ((-2 * i) / D);
    return scaling ? scaledFrequency(frequency, scaling) : frequency;
  });
  const y = zeros(x.length);
  const half = D / 2;
  for (let b = 0; b < B; b++) {
    for (let t = 0; t < T; t++) {
      for (let h = 0; h < H; h++) {
        const at = ((b * T + t) * H + h) * D;
        for (let i = 0; i < half; i++) {
          const angle = direction * t * frequencies[i]!;
          const [first, second] = [x[at + i]!, x[at + i + half]!];
          y[at + i] = first * Math.cos(angle) - second * Math.sin(angle);
          y[at + i + half] = second * Math.cos(angle) + first * Math.sin(angle);
        }
      }
    }
  }
  return y;
}

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** silu(gate) * up. */
export const swiglu = (gate: Vector, up: Vector): Vector => gate.map((g, i) => g * sigmoid(g) * up[i]!);

export function swigluBackward(gate: Vector, up: Vector, dy: Vector): { dgate: Vector; dup: Vector } {
  return {
    dgate: gate.map((g, i) => dy[i]! * up[i]! * sigmoid(g) * (1 + g * (1 - sigmoid(g)))),
    dup: gate.map((g, i) => dy[i]! * g * sigmoid(g)),
  };
}

/**
 * GELU by its approximation with tanh (Hendrycks & Gimpel, 2016), and its slope. (1 + tanh(u)) / 2 is the sigmoid of
 * 2u, which loses nothing where tanh is close to -1.
 */
const geluArgument = (x: number): number => 2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
const gelu = (x: number): number => x * sigmoid(geluArgument(x));
function geluSlope(x: number): number {
  const u = geluArgument(x);
  const bend = sigmoid(u) * sigmoid(-u) * 2 * Math.sqrt(2 / Math.PI) * (1 + 3 * 0.044715 * x ** 2);
  return sigmoid(u) + (bend === 0 ? 0 : x * bend);
}

/** gelu(gate) * up. */
export const geglu = (gate: Vector, up: Vector): Vector => gate.map((g, i) => gelu(g) * up[i]!);

export function gegluBackward(gate: Vector, up: Vector, dy: Vector): { dgate: Vector; dup: Vector } {
  return {
    dgate: gate.map((g, i) => dy[i]! * up[i]! * geluSlope(g)),
    dup: gate.map((g, i) => dy[i]! * gelu(g)),
  };
}

/** Rows of table [V, C] by id. */
export function embedding(table: Vector, ids: ArrayLike<number>, C: number): Vector {
  const y = zeros(ids.length * C);
  for (let r = 0; r < ids.length; r++) for (let c = 0; c < C; c++) y[r * C + c] = table[ids[r]! * C + c]!;
  return y;
}

export function embeddingBackward(dy: Vector, ids: ArrayLike<number>, V: number, C: number): Vector {
  const dtable = zeros(V * C);
  for (let r = 0; r < ids.length; r++) for (let c = 0; c < C; c++) dtable[ids[r]! * C + c]! += dy[r * C + c]!;
  return dtable;
}

/** Loss of each row in nats, times its weight, and the gradient of `scale` times their sum;  logits [R, V]. */
export function crossEntropy(
  logits: Vector,
  targets: ArrayLike<number>,
  V: number,
  scale: number,
  weights?: ArrayLike<number>,
): { losses: Vector; dlogits: Vector } {
  const R = targets.length;
  const losses = zeros(R);
  const dlogits = zeros(R * V);
  for (let r = 0; r < R; r++) {
    const row = logits.subarray(r * V, (r + 1) * V);
    const largest = row.reduce((a, b) => Math.max(a, b), -Infinity);
    const sum = row.reduce((total, x) => total + Math.exp(x - largest), 0);
    const weight = weights?.[r] ?? 1;
    losses[r] = weight * (Math.log(sum) + largest - row[targets[r]!]!);
    row.forEach((x, v) => {
      dlogits[r * V + v] = weight * scale * (Math.exp(x - largest) / sum - (v === targets[r] ? 1 : 0));
    });
  }
  return { losses, dlogits };
}

/** Whether the target of each row has a larger logit than all others of the row, as 1 or 0;  logits [R, V]. */
export const hits = (logits: Vector, targets: ArrayLike<number>, V: number): Vector =>
  Float64Array.from(targets, (target, r) => {
    const row = logits.subarray(r * V, (r + 1) * V);
    return row.every((value, v) => v === target || value < row[target]!) ? 1 : 0;
  });

export interface AdamwState {
  readonly parameter: Vector;
  readonly m: Vector;
  readonly v: Vector;
}

/** One step of AdamW in place, on the gradient times `clipFactor`; `step` counts from 1. */
export function adamw(
  { parameter, m, v }: AdamwState,
  gradient: Vector,
  settings: {
    lr: number;
    beta1: number;
    beta2: number;
    eps: number;
    weightDecay: number;
    clipFactor: number;
    step: number;
  },
): void {
  const { lr, beta1, beta2, eps, weightDecay, clipFactor, step } = settings;
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i]! * clipFactor;
    m[i] = beta1 * m[i]! + (1 - beta1) * g;
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
    const update = m[i]! / (1 - beta1 ** step) / (Math.sqrt(v[i]! / (1 - beta2 ** step)) + eps);
    parameter[i] = parameter[i]! * (1 - lr * weightDecay) - lr * update;
  }
}

/** sqrt of the sum of all squares. */
export function globalNorm(gradients: Iterable<Vector>): number {
  let squares = 0;
  for (const gradient of gradients) for (const g of gradient) squares += g * g;
  return Math.sqrt(squares);
}
