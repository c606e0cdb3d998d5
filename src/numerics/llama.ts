/** A whole LLaMA in float64: loss, gradients by Hugging Face name, and AdamW steps, out of the reference ops. */
import { attention, attentionBackward } from './attention.js';
import { putTogether, takeApart } from './fused.js';
import type { Vector } from './reference.js';
import * as ops from './reference.js';
import { softCap, softCapSlope } from './soft-cap.js';

/** The fields of a model configuration that arithmetic depends on. */
export interface LlamaShape {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling?: ops.RopeScaling | undefined;
  readonly tieWordEmbeddings: boolean;
  readonly qkvBias?: boolean | undefined;
  readonly qkNorm?: boolean | undefined;
  readonly qkNormOver?: 'head' | 'projection' | undefined;
  readonly normPlacement?: 'before' | 'after' | 'both' | undefined;
  readonly fusedProjections?: boolean | undefined;
  readonly hiddenAct?: 'silu' | 'gelu_pytorch_tanh' | undefined;
  readonly normUnitOffset?: boolean | undefined;
  readonly scaledEmbeddings?: boolean | undefined;
  readonly queryPreAttnScalar?: number | undefined;
  readonly slidingWindow?: number | undefined;
  readonly slidingWindowPattern?: number | undefined;
  readonly ropeLocalBaseFreq?: number | undefined;
  readonly nopeLayerInterval?: number | undefined;
  readonly attnLogitSoftcapping?: number | undefined;
  readonly finalLogitSoftcapping?: number | undefined;
}

export type Weights = Map<string, Vector>;

export interface LlamaResult {
  /** [B*T, V] */
  readonly logits: Vector;
  /** The mean over all positions, in nats, or what `shares` make of it. */
  readonly loss: number;
  readonly gradients: Weights;
}

/**
 * Forward and backward on ids and targets [B*T]. `shares` [B*T] are the parts of the mean that targets have, which come
 * to 1; by default all have the same.
 */
export function llama(
  shape: LlamaShape,
  weights: Weights,
  ids: ArrayLike<number>,
  targets: ArrayLike<number>,
  T: number,
  shares?: ArrayLike<number>,
): LlamaResult {
  if (shape.fusedProjections) {
    const unfused = { ...shape, fusedProjections: false };
    const result = llama(unfused, takeApart(shape, weights), ids, targets, T, shares);
    return { ...result, gradients: putTogether(shape, result.gradients, weights.keys()) };
  }
  const {
    hiddenSize: C,
    intermediateSize: F,
    numAttentionHeads: H,
    numKeyValueHeads: KV,
    headDim: D,
    vocabSize: V,
  } = shape;
  const { rmsNormEps: eps, queryPreAttnScalar = D, finalLogitSoftcapping: cap } = shape;
  const R = ids.length;
  const B = R / T;
  const heads = { B, T, H, KV, D, scale: queryPreAttnScalar ** -0.5, softCap: shape.attnLogitSoftcapping };
  const weight = (name: string) => weights.get(name)!;
  const gradients: Weights = new Map([...weights].map(([name, values]) => [name, new Float64Array(values.length)]));
  const accumulate = (name: string, values: Vector) => addInto(gradients.get(name)!, values);

  /** y = x Wᵀ, and what its gradient does. */
  const linear = (name: string, x: Vector, K: number, N: number) => ({
    y: ops.matmul(x, weight(name), { M: R, N, K, transposeA: false, transposeB: true }),
    backward(dy: Vector): Vector {
      accumulate(name, ops.matmul(dy, x, { M: N, N: K, K: R, transposeA: true, transposeB: false }));
      return ops.matmul(dy, weight(name), { M: R, N: K, K: N, transposeA: false, transposeB: false });
    },
  });
  /** The same of a projection to queries, keys or values, which may have a bias. */
  const project = (name: string, x: Vector, N: number) => {
    const { y, backward } = linear(`${name}.weight`, x, C, N);
    if (!shape.qkvBias) return { y, backward };
    const withBias = (dy: Vector) => {
      accumulate(`${name}.bias`, ops.columnSums(dy, N));
      return backward(dy);
    };
    return { y: ops.addBias(y, weight(`${name}.bias`)), backward: withBias };
  };
  const norm = (name: string, x: Vector, columns = C) => {
    const rows = x.length / columns;
    const factors = shape.normUnitOffset ? weight(name).map(value => 1 + value) : weight(name);
    const { y, rstd } = ops.rmsnorm(x, factors, rows, columns, eps);
    const backward = (dy: Vector) => {
      const { dx, dweight } = ops.rmsnormBackward(x, factors, rstd, dy, rows, columns);
      accumulate(name, dweight);
      return dx;
    };
    return { y, backward };
  };

  const none = (x: Vector) => ({ y: x, backward: (dy: Vector) => dy });
  /** The norms over the heads of queries or keys, or over `width`, where there are any. */
  const headNorm = (name: string, x: Vector, width: number) =>
    shape.qkNorm ? norm(name, x, shape.qkNormOver === 'projection' ? width : D) : none(x);
  const { normPlacement: placement = 'before' } = shape;
  const before = (name: string, x: Vector) => (placement === 'after' ? none(x) : norm(name, x));
  const after = (name: string, x: Vector) => (placement === 'before' ? none(x) : norm(name, x));
  const [gated, gatedBackward] =
    shape.hiddenAct === 'gelu_pytorch_tanh' ? [ops.geglu, ops.gegluBackward] : [ops.swiglu, ops.swigluBackward];
  const embeddingScale = shape.scaledEmbeddings ? Math.sqrt(C) : 1;
  const scaled = (x: Vector): Vector => x.map(value => embeddingScale * value);

  const undo: ((dx: Vector) => Vector)[] = [];
  let x: Vector = scaled(ops.embedding(weight('model.embed_tokens.weight'), ids, C));
  for (let layer = 0; layer < shape.numHiddenLayers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const named = (name: string) => `${prefix}${name}.weight`;
    const isLocal = shape.slidingWindowPattern !== undefined && (layer + 1) % shape.slidingWindowPattern !== 0;
    const isWithin = isLocal || shape.slidingWindowPattern === undefined;
    const sizes = { ...heads, window: isWithin ? shape.slidingWindow : undefined };
    const isRotated = shape.nopeLayerInterval === undefined || (layer + 1) % shape.nopeLayerInterval !== 0;
    const rotate = (x: Vector, heads: number, direction: 1 | -1) => {
      if (!isRotated) return x;
      if (isLocal && shape.ropeLocalBaseFreq !== undefined) {
        return ops.rope(x, B, T, heads, D, shape.ropeLocalBaseFreq, direction);
      }
      return ops.rope(x, B, T, heads, D, shape.ropeTheta, direction, shape.ropeScaling);
    };
    const norm1 = before(named('input_layernorm'), x);
    const q = project(`${prefix}self_attn.q_proj`, norm1.y, H * D);
    const k = project(`${prefix}self_attn.k_proj`, norm1.y, KV * D);
    const v = project(`${prefix}self_attn.v_proj`, norm1.y, KV * D);
    const qNorm = headNorm(named('self_attn.q_norm'), q.y, H * D);
    const kNorm = headNorm(named('self_attn.k_norm'), k.y, KV * D);
    const inputs = { q: rotate(qNorm.y, H, 1), k: rotate(kNorm.y, KV, 1), v: v.y };
    const o = linear(named('self_attn.o_proj'), attention(inputs, sizes).out, H * D, C);
    const attended = after(named('post_attention_layernorm'), o.y);
    x = sum(x, attended.y);
    const norm2 = before(named(placement === 'both' ? 'pre_feedforward_layernorm' : 'post_attention_layernorm'), x);
    const gate = linear(named('mlp.gate_proj'), norm2.y, C, F);
    const up = linear(named('mlp.up_proj'), norm2.y, C, F);
    const down = linear(named('mlp.down_proj'), gated(gate.y, up.y), F, C);
    const mixed = after(named('post_feedforward_layernorm'), down.y);
    x = sum(x, mixed.y);
    undo.push(dx => {
      const { dgate, dup } = gatedBackward(gate.y, up.y, down.backward(mixed.backward(dx)));
      const middle = sum(dx, norm2.backward(sum(gate.backward(dgate), up.backward(dup))));
      const { dq, dk, dv } = attentionBackward(inputs, o.backward(attended.backward(middle)), sizes);
      const dnorm1 = sum(
        sum(q.backward(qNorm.backward(rotate(dq, H, -1))), k.backward(kNorm.backward(rotate(dk, KV, -1)))),
        v.backward(dv),
      );
      return sum(middle, norm1.backward(dnorm1));
    });
  }
  const last = norm('model.norm.weight', x);
  const head = linear(shape.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight', last.y, C, V);
  const logits = cap === undefined ? head.y : head.y.map(logit => softCap(logit, cap));
  const { losses, dlogits } = ops.crossEntropy(logits, targets, V, shares ? 1 : 1 / R, shares);
  const dhead = cap === undefined ? dlogits : dlogits.map((d, i) => d * softCapSlope(logits[i]!, cap));
  let dx = last.backward(head.backward(dhead));
  for (const layer of undo.reverse()) dx = layer(dx);
  accumulate('model.embed_tokens.weight', ops.embeddingBackward(scaled(dx), ids, V, C));
  return { logits, loss: losses.reduce((a, b) => a + b, 0) / (shares ? 1 : R), gradients };
}

/** AdamW steps in place over batches of sequences [B, T+1], decay on matrices only. @returns losses and norms. */
export function trainLlama(
  shape: LlamaShape,
  weights: Weights,
  batches: readonly (readonly (readonly number[])[])[],
  settings: { lr: number; beta1: number; beta2: number; eps: number; weightDecay: number; clip: number },
  isMatrix: (name: string) => boolean,
  afterStep?: (step: number, result: LlamaResult) => void,
): void {
  const zeros = () => new Map([...weights].map(([name, { length }]) => [name, new Float64Array(length)]));
  const [m, v] = [zeros(), zeros()];
  batches.forEach((batch, i) => {
    const ids = batch.flatMap(sequence => sequence.slice(0, -1));
    const targets = batch.flatMap(sequence => sequence.slice(1));
    const result = llama(shape, weights, ids, targets, batch[0]!.length - 1);
    const clipFactor = Math.min(1, settings.clip / ops.globalNorm(result.gradients.values()));
    for (const [name, parameter] of weights) {
      const weightDecay = isMatrix(name) ? settings.weightDecay : 0;
      const state = { parameter, m: m.get(name)!, v: v.get(name)! };
      ops.adamw(state, result.gradients.get(name)!, { ...settings, weightDecay, clipFactor, step: i + 1 });
    }
    afterStep?.(i + 1, result);
  });
}

const sum = (a: Vector, b: Vector): Vector => a.map((x, i) => x + b[i]!);

function addInto(total: Vector, values: Vector): void {
  values.forEach((x, i) => {
    total[i]! += x;
  });
}
