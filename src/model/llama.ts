/** The LLaMA architecture: its forward pass as a graph. */
import type { Graph } from '../autograd/graph.js';
import type { DType, Tensor } from '../autograd/tensor.js';
import type { AttentionSizes } from '../kernels/attention-variant.js';
import { add } from '../ops/add.js';
import { attention } from '../ops/attention.js';
import { addBias } from '../ops/bias.js';
import { branchAttention } from '../ops/branches.js';
import { cast } from '../ops/cast.js';
import { embedding, type TokenRows } from '../ops/embedding.js';
import { type HeadGradient, headHits, headLoss } from '../ops/head-loss.js';
import { headNorm } from '../ops/head-norm.js';
import { type LinearOptions, linear } from '../ops/linear.js';
import { addLowRank } from '../ops/low-rank.js';
import { rmsnorm } from '../ops/rmsnorm.js';
import { rope } from '../ops/rope.js';
import { scale } from '../ops/scale.js';
import { softCap } from '../ops/soft-cap.js';
import { swiglu, swigluLinear } from '../ops/swiglu.js';
import { takeRows } from '../ops/take-rows.js';
import { isRotated, isRotatedApart, windowOf } from './config.js';
import { LAYER_NORMS } from './families.js';
import { EMBEDDING, HEAD } from './parameters.js';
import type { ForwardTensors } from './tensors.js';

/** A batch of B sequences of T tokens. */
export interface BatchShape {
  readonly B: number;
  readonly T: number;
}

/** Which layers the backward pass recomputes from their inputs, in place of keeping what they made: none, or each. */
export const CHECKPOINTING = ['none', 'layer'] as const;
/** A number k ≥ 2 is for each k-th layer, from the first on. */
export type Checkpointing = (typeof CHECKPOINTING)[number] | number;

const isRecomputed = (layer: number, checkpointing: Checkpointing): boolean =>
  checkpointing === 'layer' || (checkpointing !== 'none' && layer % checkpointing === 0);

/** What a forward pass reads: token rows [B*T] and, where attention stays within documents, their begins [B*T]. */
export interface TokenInputs {
  readonly tokens: TokenRows;
  /** Where the document of each row begins in its sequence. */
  readonly documents?: Tensor | undefined;
}

/** Traces the forward pass: token rows [B*T] → logits [B*T, V] in f32. */
export function traceLogits(graph: Graph, model: ForwardTensors, inputs: TokenInputs, shape: BatchShape): Tensor {
  return traceHead(graph, model, traceHidden(graph, model, inputs, shape));
}

/** Traces the last norm and the head: x [R, C] of the residual stream → logits [R, V] in f32. */
export function traceHead(graph: Graph, model: ForwardTensors, x: Tensor): Tensor {
  const normed = traceLastNorm(graph, model, x);
  graph.scope = 'lm_head.';
  const made = linear(graph, normed, headWeight(model), { dtype: 'f32' });
  const { finalLogitSoftcapping: cap } = model.config;
  return cap === undefined ? made : softCap(graph, made, cap);
}

/** Sequences that begin alike, laid out in one: a trunk, and what follows it in each. */
export interface Branches {
  /** The position of each row in its own sequence [B*T], and below them a number that is larger than all. */
  readonly positions: Tensor;
  readonly length: number;
  /** The spans [B*T, 2], see `branchAttention`. */
  readonly spans: Tensor;
}

export interface LossOptions {
  /** The factors of the losses' sum for the gradients; undefined where no gradient is wanted. */
  readonly gradient?: HeadGradient | undefined;
  readonly checkpointing?: Checkpointing | undefined;
  /** The branches of the batch; allowed where there is no gradient. */
  readonly branches?: Branches | undefined;
}

/** Traces the forward pass up to the loss of each row [B*T] against `targets` [B*T], in nats. */
export function traceLosses(
  graph: Graph,
  model: ForwardTensors,
  inputs: TokenInputs & { readonly targets: Tensor },
  shape: BatchShape,
  { gradient, checkpointing, branches }: LossOptions = {},
): Tensor {
  const x = traceLastNorm(graph, model, traceHidden(graph, model, inputs, shape, { checkpointing, branches }));
  graph.scope = 'lm_head.';
  const { finalLogitSoftcapping } = model.config;
  return headLoss(graph, x, headWeight(model), inputs.targets, gradient, undefined, finalLogitSoftcapping);
}

/** Traces the loss of each row as `traceLosses` does, and whether its target is what the model predicts. */
export function traceHits(
  graph: Graph,
  model: ForwardTensors,
  inputs: TokenInputs & { readonly targets: Tensor },
  shape: BatchShape,
): { readonly losses: Tensor; readonly hits: Tensor } {
  const x = traceLastNorm(graph, model, traceHidden(graph, model, inputs, shape));
  graph.scope = 'lm_head.';
  return headHits(graph, x, headWeight(model), inputs.targets, undefined, model.config.finalLogitSoftcapping);
}

const headWeight = (model: ForwardTensors): Tensor => model.matrix(model.config.tieWordEmbeddings ? EMBEDDING : HEAD);

function traceLastNorm(graph: Graph, model: ForwardTensors, x: Tensor): Tensor {
  graph.scope = 'model.norm.';
  return rmsnorm(graph, x, model.weight('model.norm.weight'), normOf(model), model.precision);
}

/** How the norms of a model are computed. */
const normOf = ({ config }: ForwardTensors) => ({ eps: config.rmsNormEps, unitOffset: config.normUnitOffset });

/** Traces rows of the embedding → the residual stream that they begin: some models scale them. */
export const traceEmbedded = (graph: Graph, { config }: ForwardTensors, x: Tensor): Tensor =>
  config.scaledEmbeddings ? scale(graph, x, Math.sqrt(config.hiddenSize)) : x;

/** Traces token rows [B*T] → the residual stream behind the last layer [B*T, C]. */
function traceHidden(
  graph: Graph,
  model: ForwardTensors,
  { tokens, documents }: TokenInputs,
  shape: BatchShape,
  { checkpointing = 'none', branches }: Pick<LossOptions, 'checkpointing' | 'branches'> = {},
): Tensor {
  graph.scope = 'model.';
  const attend = branches
    ? attendBranches(graph, model, branches, shape)
    : (qkv: Tensor, layer: number) =>
        attention(
          graph,
          rotate(graph, model, layer, qkv, shape, { documents }),
          headsOf(model, shape, layer),
          documents,
        );
  let x = traceEmbedded(graph, model, embedding(graph, model.weight(EMBEDDING), tokens));
  for (let layer = 0; layer < model.config.numHiddenLayers; layer++) {
    const trace = (input: Tensor) => traceLayer(graph, model, layer, input, attend);
    x = isRecomputed(layer, checkpointing) ? graph.checkpoint(x, trace) : trace(x);
  }
  return x;
}

/**
 * Returns the attention over branches, of sequences that no window cuts. Rows are rotated as if they were one sequence,
 * each by the row of its own position in the table.
 */
function attendBranches(graph: Graph, model: ForwardTensors, branches: Branches, shape: BatchShape) {
  const { positions, length, spans } = branches;
  const tableOf = tablesOf(model, local => takeRows(graph, model.ropeTable(length, local), positions));
  const rows = { B: 1, T: shape.B * shape.T };
  return (qkv: Tensor, layer: number) => {
    const rotated = rotate(graph, model, layer, qkv, rows, { table: tableOf(layer) });
    return branchAttention(graph, rotated, spans, headsOf(model, shape));
  };
}

/** Returns the rotation table of a layer, out of one of each kind that there are layers of. */
export function tablesOf({ config }: ForwardTensors, make: (local: boolean) => Tensor): (layer: number) => Tensor {
  const kinds = Array.from({ length: config.numHiddenLayers }, (_, layer) => isRotatedApart(config, layer));
  const made = new Map([...new Set(kinds)].map(local => [local, make(local)]));
  return layer => made.get(kinds[layer]!)!;
}

/** Returns the sizes of attention over a batch with its cap, and in a layer its window. */
export function headsOf({ config }: ForwardTensors, { B, T }: BatchShape, layer?: number): AttentionSizes {
  const { numAttentionHeads: H, numKeyValueHeads: KV, headDim: D, queryPreAttnScalar = D } = config;
  const window = layer === undefined ? undefined : windowOf(config, layer);
  const softCap = config.attnLogitSoftcapping;
  return { B, T, H, KV, D, scale: 1 / Math.sqrt(queryPreAttnScalar), window, softCap };
}

/** How queries and keys are rotated: by a table [T, D/2, 2], and by positions in documents. */
interface Rotation {
  readonly table?: Tensor | undefined;
  readonly documents?: Tensor | undefined;
}

/** Rotates the queries and keys of qkv [B*T, (H + 2 KV)*D] of a layer by position, where the layer has that. */
export function rotate(
  graph: Graph,
  model: ForwardTensors,
  layer: number,
  qkv: Tensor,
  shape: BatchShape,
  { table = model.ropeTable(shape.T, isRotatedApart(model.config, layer)), documents }: Rotation = {},
): Tensor {
  if (!isRotated(model.config, layer)) return qkv;
  const { B, T, H, KV, D } = headsOf(model, shape);
  return rope(graph, qkv, table, { B, T, heads: H + KV, rowHeads: H + 2 * KV, headSize: D }, documents);
}

/**
 * Traces a layer, x [R, C] → [R, C]: attention and MLP, each added to the residual stream. `attend` is what stands
 * between the projections: qkv [R, (H + 2 KV)*D], not yet rotated → [R, H*D].
 */
export function traceLayer(
  graph: Graph,
  model: ForwardTensors,
  layer: number,
  x: Tensor,
  attend: (qkv: Tensor, layer: number) => Tensor,
): Tensor {
  const { qkvBias, qkNorm, qkNormOver, normPlacement = 'before', hiddenAct } = model.config;
  const { numAttentionHeads: H, numKeyValueHeads: KV, headDim: D } = model.config;
  const prefix = `model.layers.${layer}.`;
  const norm = (name: string, input: Tensor, dtype: DType) => {
    graph.scope = `${prefix}${name}.`;
    return rmsnorm(graph, input, model.weight(`${prefix}${name}.weight`), normOf(model), dtype);
  };
  const project = (name: string, input: Tensor, options?: LinearOptions) => {
    graph.scope = `${prefix}${name}.`;
    const y = linear(graph, input, model.matrix(`${prefix}${name}.weight`), options);
    return adapted(graph, model, `${prefix}${name}.weight`, y, input);
  };
  const norms = LAYER_NORMS[normPlacement];
  /** Returns what a branch of the stream begins with, and below, the stream with what the branch comes to. */
  const enter = (name: string | undefined, stream: Tensor) => {
    graph.scope = prefix;
    return name === undefined ? cast(graph, stream, model.precision) : norm(name, stream, model.precision);
  };
  const leave = (projection: string, branch: Tensor, name: string | undefined, stream: Tensor) => {
    if (name === undefined) return project(projection, branch, { residual: stream });
    return add(graph, stream, norm(name, project(projection, branch, { dtype: 'f32' }), 'f32'));
  };

  let qkv = project('self_attn.qkv_proj', enter(norms.attention.before, x));
  const vector = (name: string) => model.weight(`${prefix}self_attn.${name}`);
  if (qkvBias) qkv = addBias(graph, qkv, vector('qkv_proj.bias'));
  graph.scope = `${prefix}self_attn.`;
  if (qkNorm) {
    const weights = { query: vector('q_norm.weight'), key: vector('k_norm.weight') };
    qkv = headNorm(graph, qkv, weights, { H, KV, D }, normOf(model), qkNormOver);
  }
  const attended = leave('self_attn.o_proj', attend(qkv, layer), norms.attention.after, x);

  const input = enter(norms.mlp.before, attended);
  graph.scope = `${prefix}mlp.gate_up_proj.`;
  const gateUp = `${prefix}mlp.gate_up_proj.weight`;
  const gated = model.adapters?.has(gateUp)
    ? swiglu(graph, project('mlp.gate_up_proj', input), hiddenAct)
    : swigluLinear(graph, input, model.matrix(gateUp), hiddenAct);
  return leave('mlp.down_proj', gated, norms.mlp.after, attended);
}

/** Adds to y, which a group of parameters made of x, what the adapters beside the group make of it. */
function adapted(graph: Graph, model: ForwardTensors, group: string, y: Tensor, x: Tensor): Tensor {
  const beside = model.adapters?.get(group) ?? [];
  return beside.reduce((sum, { a, b, first, scale }) => {
    const matrices = { a: model.matrix(a.name), b: model.matrix(b.name) };
    return addLowRank(graph, sum, x, { ...matrices, first, scale });
  }, y);
}
