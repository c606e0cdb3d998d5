/** The LLaMA architecture: its weights on a device, and its forward pass as a graph. */
import type { Graph } from '../autograd/graph.js';
import { persistent, type Shape, showShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import type { Device } from '../gpu/device.js';
import type { Memory } from '../gpu/memory.js';
import { attention } from '../ops/attention.js';
import { embedding, type TokenRows } from '../ops/embedding.js';
import { headLoss } from '../ops/head-loss.js';
import { linear } from '../ops/linear.js';
import { rmsnorm } from '../ops/rmsnorm.js';
import { rope, ropeTable } from '../ops/rope.js';
import { swiglu } from '../ops/swiglu.js';
import { type ModelConfig, type ParameterSpec, parameterSpecs, validateModelConfig } from './config.js';

/** Values for a parameter of the given name and shape. */
export type ParameterSource = (spec: ParameterSpec) => Float32Array | Promise<Float32Array>;

/** What a forward pass reads: parameters, with their gradients where those are wanted, and the rotation table. */
export interface ForwardTensors {
  readonly config: ModelConfig;
  /** @throws Error when the model has no such parameter. */
  weight(name: string): Tensor;
  /** [T, headDim/2, 2] for sequences of T tokens. */
  ropeTable(T: number): Tensor;
}

/** The tensors of a model in buffers of `memory`, without values yet. Free them with `destroy`. */
export class ModelTensors implements ForwardTensors {
  readonly config: ModelConfig;
  readonly specs: readonly ParameterSpec[];
  readonly #memory: Memory;
  readonly #weights = new Map<string, Tensor>();
  readonly #tables = new Map<number, Tensor>();

  /** @throws UserError when the configuration is not sound or a weight exceeds the adapter's limits. */
  constructor(memory: Memory, config: ModelConfig) {
    this.config = validateModelConfig(config);
    this.specs = parameterSpecs(config);
    this.#memory = memory;
    try {
      for (const { name, shape } of this.specs) {
        this.#weights.set(name, persistent(name, shape, memory.createBuffer(name, 4 * sizeOf(shape))));
      }
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  weight(name: string): Tensor {
    const tensor = this.#weights.get(name);
    if (!tensor) throw new Error(`the model has no parameter '${name}'`);
    return tensor;
  }

  ropeTable(T: number): Tensor {
    let table = this.#tables.get(T);
    if (!table) {
      const { headDim, ropeTheta } = this.config;
      const shape: Shape = [T, headDim / 2, 2];
      const buffer = this.#memory.createBuffer(`rope table ${T}`, 4 * sizeOf(shape));
      table = persistent(`rope table ${T}`, shape, buffer);
      this.#memory.write(buffer, ropeTable(T, headDim, ropeTheta));
      this.#tables.set(T, table);
    }
    return table;
  }

  destroy(): void {
    for (const { buffer } of this.#weights.values()) buffer!.destroy();
    for (const { buffer } of this.#tables.values()) buffer!.destroy();
  }
}

/** Weights on a device. Free them with `destroy`. */
export class Model extends ModelTensors {
  readonly device: Device;

  private constructor(device: Device, config: ModelConfig) {
    super(device, config);
    this.device = device;
  }

  /**
   * Makes a model with values from `source`.
   * @throws UserError when the configuration is not sound or a weight exceeds the adapter's limits.
   */
  static async create(device: Device, config: ModelConfig, source: ParameterSource): Promise<Model> {
    const model = new Model(device, config);
    try {
      for (const spec of model.specs) {
        const { name, shape } = spec;
        const values = await source(spec);
        if (values.length !== sizeOf(shape)) {
          throw new Error(`'${name}' ${showShape(shape)} was given ${values.length} values`);
        }
        device.write(model.weight(name).buffer!, values);
      }
    } catch (error) {
      model.destroy();
      throw error;
    }
    return model;
  }

  /** The weight's values, after everything submitted so far. */
  async read(name: string): Promise<Float32Array> {
    const tensor = this.weight(name);
    return new Float32Array(await this.device.read(tensor.buffer!, 0, 4 * sizeOf(tensor.shape)));
  }
}

/** A batch of B sequences of T tokens. */
export interface BatchShape {
  readonly B: number;
  readonly T: number;
}

/** What the backward pass recomputes instead of keeping: nothing, or all of a layer but its input. */
export const CHECKPOINTING = ['none', 'layer'] as const;
export type Checkpointing = (typeof CHECKPOINTING)[number];

/** Traces the forward pass: token rows [B*T] → logits [B*T, V]. */
export function traceLogits(graph: Graph, model: ForwardTensors, tokens: TokenRows, shape: BatchShape): Tensor {
  const x = traceHidden(graph, model, tokens, shape);
  graph.scope = 'lm_head.';
  return linear(graph, x, headWeight(model));
}

export interface LossOptions {
  /** Where gradients are wanted, what the losses' sum is multiplied by for them. */
  readonly gradientScale?: number;
  readonly checkpointing?: Checkpointing | undefined;
}

/** Traces the forward pass up to the loss of each row [B*T] against `targets` [B*T], in nats. */
export function traceLosses(
  graph: Graph,
  model: ForwardTensors,
  { tokens, targets }: { readonly tokens: TokenRows; readonly targets: Tensor },
  shape: BatchShape,
  { gradientScale, checkpointing }: LossOptions = {},
): Tensor {
  const x = traceHidden(graph, model, tokens, shape, checkpointing);
  graph.scope = 'lm_head.';
  return headLoss(graph, x, headWeight(model), targets, gradientScale);
}

const headWeight = (model: ForwardTensors): Tensor =>
  model.weight(model.config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight');

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
  return rmsnorm(graph, x, model.weight('model.norm.weight'), model.config.rmsNormEps);
}

/** x [B*T, C] → [B*T, C]: attention and MLP, each added to the residual stream. */
function traceLayer(graph: Graph, model: ForwardTensors, layer: number, x: Tensor, { B, T }: BatchShape): Tensor {
  const { numAttentionHeads: H, numKeyValueHeads: KV, headDim: D, rmsNormEps: eps } = model.config;
  const table = model.ropeTable(T);
  const prefix = `model.layers.${layer}.`;
  const weight = (name: string) => model.weight(`${prefix}${name}.weight`);
  const project = (name: string, input: Tensor, residual?: Tensor) => {
    graph.scope = `${prefix}${name}.`;
    return linear(graph, input, weight(name), residual);
  };

  graph.scope = `${prefix}input_layernorm.`;
  const normed = rmsnorm(graph, x, weight('input_layernorm'), eps);
  const q = project('self_attn.q_proj', normed);
  const k = project('self_attn.k_proj', normed);
  const v = project('self_attn.v_proj', normed);
  graph.scope = `${prefix}self_attn.`;
  const rotatedQ = rope(graph, q, table, { B, T, heads: H, headSize: D });
  const rotatedK = rope(graph, k, table, { B, T, heads: KV, headSize: D });
  const mixed = attention(graph, rotatedQ, rotatedK, v, { B, T, H, KV, D });
  const attended = project('self_attn.o_proj', mixed, x);

  graph.scope = `${prefix}post_attention_layernorm.`;
  const normedAgain = rmsnorm(graph, attended, weight('post_attention_layernorm'), eps);
  const gate = project('mlp.gate_proj', normedAgain);
  const up = project('mlp.up_proj', normedAgain);
  graph.scope = `${prefix}mlp.`;
  return project('mlp.down_proj', swiglu(graph, gate, up), attended);
}
