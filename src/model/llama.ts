/** The LLaMA architecture: its forward pass as a graph. */
import type { Graph } from '../autograd/graph.js';
import type { Tensor } from '../autograd/tensor.js';
import { attention } from '../ops/attention.js';
import { embedding, type TokenRows } from '../ops/embedding.js';
import { linear } from '../ops/linear.js';
import { rmsnorm } from '../ops/rmsnorm.js';
import { rope } from '../ops/rope.js';
import { swiglu } from '../ops/swiglu.js';
import type { Model, Weights } from './model.js';

/** A batch of B sequences of T tokens. */
export interface BatchShape {
  readonly B: number;
  readonly T: number;
}

/**
 * Traces the forward pass: token rows [B*T] → logits [B*T, V] in f32.
 * `weights` gives the parameters' tensors, with their gradients where they are wanted.
 */
export function traceLogits(
  graph: Graph,
  model: Model,
  weights: Weights,
  tokens: TokenRows,
  { B, T }: BatchShape,
): Tensor {
  const { config, precision } = model;
  const { numAttentionHeads: H, numKeyValueHeads: KV, headDim: D, rmsNormEps: eps } = config;
  const table = model.ropeTable(T);
  graph.scope = 'model.';
  let x = embedding(graph, weights.weight('model.embed_tokens.weight'), tokens);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const norm = (name: string, input: Tensor) => {
      graph.scope = `${prefix}${name}.`;
      return rmsnorm(graph, input, weights.weight(`${prefix}${name}.weight`), eps, precision);
    };
    const project = (name: string, input: Tensor, residual?: Tensor) => {
      graph.scope = `${prefix}${name}.`;
      return linear(graph, input, weights.matrix(`${prefix}${name}.weight`), { residual });
    };

    const qkv = project('self_attn.qkv_proj', norm('input_layernorm', x));
    graph.scope = `${prefix}self_attn.`;
    const rotated = rope(graph, qkv, table, { B, T, heads: H + KV, rowHeads: H + 2 * KV, headSize: D });
    const mixed = attention(graph, rotated, { B, T, H, KV, D });
    x = project('self_attn.o_proj', mixed, x);

    const gateUp = project('mlp.gate_up_proj', norm('post_attention_layernorm', x));
    graph.scope = `${prefix}mlp.`;
    x = project('mlp.down_proj', swiglu(graph, gateUp), x);
  }
  graph.scope = 'model.norm.';
  const normed = rmsnorm(graph, x, weights.weight('model.norm.weight'), eps, precision);
  graph.scope = 'lm_head.';
  const head = config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight';
  return linear(graph, normed, weights.matrix(head), { dtype: 'f32' });
}
