/** The LLaMA architecture: its forward pass as a graph. */
import type { Graph } from '../autograd/graph.js';
import type { Tensor } from '../autograd/tensor.js';
import { attention } from '../ops/attention.js';
import { embedding, type TokenRows } from '../ops/embedding.js';
import { type HeadGradient, headLoss } from '../ops/head-loss.js';
import { linear } from '../ops/linear.js';
import { rmsnorm } from '../ops/rmsnorm.js';
import { rope } from '../ops/rope.js';
import { swigluLinear } from '../ops/swiglu.js';
import type { ForwardTensors } from './model.js';

/** A batch of B sequences of T tokens. */
export interface BatchShape {
  readonly B: number;
  readonly T: number;
}

/** What the backward pass recomputes instead of keeping: nothing, or all of a layer but its input. */
export const CHECKPOINTING = ['none', 'layer'] as const;
export type Checkpointing = (typeof CHECKPOINTING)[number];

/** Traces the forward pass: token rows [B*T] → logits [B*T, V] in f32. */
export function traceLogits(graph: Graph, model: ForwardTensors, tokens: TokenRows, shape: BatchShape): Tensor {
  const x = traceHidden(graph, model, tokens, shape);
  graph.scope = 'lm_head.';
  return linear(graph, x, headWeight(model), { dtype: 'f32' });
}

export interface LossOptions {
  /** Where gradients are wanted: what the losses' sum is multiplied by for them. */
  readonly gradient?: HeadGradient | undefined;
  readonly checkpointing?: Checkpointing | undefined;
}

/** Traces the forward pass up to the loss of each row [B*T] against `targets` [B*T], in nats. */
export function traceLosses(
  graph: Graph,
  model: ForwardTensors,
  { tokens, targets }: { readonly tokens: TokenRows; readonly targets: Tensor },
  shape: BatchShape,
  { gradient, checkpointing }: LossOptions = {},
): Tensor {
  const x = traceHidden(graph, model, tokens, shape, checkpointing);
  graph.scope = 'lm_head.';
  return headLoss(graph, x, headWeight(model), targets, gradient);
}

const headWeight = (model: ForwardTensors): Tensor =>
  model.matrix(model.config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');

/** Token rows [B*T] → what the head is applied to [B*T, C]. */
function traceHidden(
  graph: Graph,
  model: ForwardTensors,
  tokens: TokenRows,
  shape: BatchShape,
  checkpointing: Checkpointing = 'none',
): Tensor {
  graph.scope = 'model.';
  let x = embedding(graph, model.weight('model.embed_tokens.weight'), tokens);
  for (let layer = 0; layer < model.config.numHiddenLayers; layer++) {
    const trace = (input: Tensor) => traceLayer(graph, model, layer, input, shape);
    x = checkpointing === 'layer' ? graph.checkpoint(x, trace) : trace(x);
  }
  graph.scope = 'model.norm.';
  return rmsnorm(graph, x, model.weight('model.norm.weight'), model.config.rmsNormEps, model.precision);
}

/** x [B*T, C] → [B*T, C]: attention and MLP, each added to the residual stream. */
function traceLayer(graph: Graph, model: ForwardTensors, layer: number, x: Tensor, { B, T }: BatchShape): Tensor {
  const { numAttentionHeads: H, numKeyValueHeads: KV, headDim: D, rmsNormEps: eps } = model.config;
  const prefix = `model.layers.${layer}.`;
  const norm = (name: string, input: Tensor) => {
    graph.scope = `${prefix}${name}.`;
    return rmsnorm(graph, input, model.weight(`${prefix}${name}.weight`), eps, model.precision);
  };
  const project = (name: string, input: Tensor, residual?: Tensor) => {
    graph.scope = `${prefix}${name}.`;
    return linear(graph, input, model.matrix(`${prefix}${name}.weight`), { residual });
  };

  const qkv = project('self_attn.qkv_proj', norm('input_layernorm', x));
  graph.scope = `${prefix}self_attn.`;
  const heads = { B, T, heads: H + KV, rowHeads: H + 2 * KV, headSize: D };
  const rotated = rope(graph, qkv, model.ropeTable(T), heads);
  const mixed = attention(graph, rotated, { B, T, H, KV, D });
  const attended = project('self_attn.o_proj', mixed, x);

  const normed = norm('post_attention_layernorm', attended);
  graph.scope = `${prefix}mlp.gate_up_proj.`;
  const gated = swigluLinear(graph, normed, model.matrix(`${prefix}mlp.gate_up_proj.weight`));
  return project('mlp.down_proj', gated, attended);
}
