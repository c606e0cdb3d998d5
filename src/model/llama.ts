/** The LLaMA architecture: its weights on a device, and its forward pass as a graph. */
import type { Graph } from '../autograd/graph.js';
import { persistent, type Shape, showShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import type { Device } from '../gpu/device.js';
import { attention } from '../ops/attention.js';
import { embedding, type TokenRows } from '../ops/embedding.js';
import { linear } from '../ops/linear.js';
import { rmsnorm } from '../ops/rmsnorm.js';
import { rope, ropeTable } from '../ops/rope.js';
import { swiglu } from '../ops/swiglu.js';
import { type ModelConfig, type ParameterSpec, parameterSpecs, validateModelConfig } from './config.js';

/** Values for a parameter of the given name and shape. */
export type ParameterSource = (spec: ParameterSpec) => Float32Array | Promise<Float32Array>;

/** Weights on a device. Free them with `destroy`. */
export class Model {
  readonly config: ModelConfig;
  readonly device: Device;
  readonly specs: readonly ParameterSpec[];
  readonly #tensors: ReadonlyMap<string, Tensor>;
  readonly #tables = new Map<number, Tensor>();

  private constructor(device: Device, config: ModelConfig, tensors: ReadonlyMap<string, Tensor>) {
    this.device = device;
    this.config = config;
    this.specs = parameterSpecs(config);
    this.#tensors = tensors;
  }

  /**
   * Makes a model with values from `source`.
   * @throws UserError when the configuration is not sound or a weight exceeds the adapter's limits.
   */
  static async create(device: Device, config: ModelConfig, source: ParameterSource): Promise<Model> {
    validateModelConfig(config);
    const tensors = new Map<string, Tensor>();
    try {
      for (const spec of parameterSpecs(config)) {
        const { name, shape } = spec;
        tensors.set(name, persistent(name, shape, device.createBuffer(name, 4 * sizeOf(shape))));
        const values = await source(spec);
        if (values.length !== sizeOf(shape)) {
          throw new Error(`'${name}' ${showShape(shape)} was given ${values.length} values`);
        }
        device.write(tensors.get(name)!.buffer!, values);
      }
    } catch (error) {
      for (const { buffer } of tensors.values()) buffer!.destroy();
      throw error;
    }
    return new Model(device, config, tensors);
  }

  /** The weight's tensor. @throws Error when the model has no such parameter. */
  weight(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`the model has no parameter '${name}'`);
    return tensor;
  }

  /** The weight's values, after everything submitted so far. */
  async read(name: string): Promise<Float32Array> {
    const tensor = this.weight(name);
    return new Float32Array(await this.device.read(tensor.buffer!, 0, 4 * sizeOf(tensor.shape)));
  }

  /** The rotation table [T, headDim/2, 2] for sequences of T tokens. */
  ropeTable(T: number): Tensor {
    let table = this.#tables.get(T);
    if (!table) {
      const { headDim, ropeTheta } = this.config;
      const shape: Shape = [T, headDim / 2, 2];
      table = persistent(`rope table ${T}`, shape, this.device.createBuffer(`rope table ${T}`, 4 * sizeOf(shape)));
      this.device.write(table.buffer!, ropeTable(T, headDim, ropeTheta));
      this.#tables.set(T, table);
    }
    return table;
  }

  destroy(): void {
    for (const { buffer } of this.#tensors.values()) buffer!.destroy();
    for (const { buffer } of this.#tables.values()) buffer!.destroy();
  }
}

/** A batch of B sequences of T tokens. */
export interface BatchShape {
  readonly B: number;
  readonly T: number;
}

/**
 * Traces the forward pass: token rows [B*T] → logits [B*T, V].
 * `weightOf` gives a parameter's tensor, with its gradient where one is wanted.
 */
export function traceLogits(
  graph: Graph,
  model: Model,
  weightOf: (name: string) => Tensor,
  tokens: TokenRows,
  { B, T }: BatchShape,
): Tensor {
  const { config } = model;
  const { numAttentionHeads: H, numKeyValueHeads: KV, headDim: D, rmsNormEps: eps } = config;
  const table = model.ropeTable(T);
  graph.scope = 'model.';
  let x = embedding(graph, weightOf('model.embed_tokens.weight'), tokens);
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const weight = (name: string) => weightOf(`${prefix}${name}.weight`);
    const project = (name: string, input: Tensor, residual?: Tensor) => {
      graph.scope = `${prefix}${name}.`;
      return linear(graph, input, weight(name), residual);
    };

    graph.scope = `${prefix}input_layernorm.`;
    let normed = rmsnorm(graph, x, weight('input_layernorm'), eps);
    const q = project('self_attn.q_proj', normed);
    const k = project('self_attn.k_proj', normed);
    const v = project('self_attn.v_proj', normed);
    graph.scope = `${prefix}self_attn.`;
    const rotatedQ = rope(graph, q, table, { B, T, heads: H, headSize: D });
    const rotatedK = rope(graph, k, table, { B, T, heads: KV, headSize: D });
    const mixed = attention(graph, rotatedQ, rotatedK, v, { B, T, H, KV, D });
    x = project('self_attn.o_proj', mixed, x);

    graph.scope = `${prefix}post_attention_layernorm.`;
    normed = rmsnorm(graph, x, weight('post_attention_layernorm'), eps);
    const gate = project('mlp.gate_proj', normed);
    const up = project('mlp.up_proj', normed);
    graph.scope = `${prefix}mlp.`;
    x = project('mlp.down_proj', swiglu(graph, gate, up), x);
  }
  graph.scope = 'model.norm.';
  const normed = rmsnorm(graph, x, weightOf('model.norm.weight'), eps);
  graph.scope = 'lm_head.';
  return linear(graph, normed, weightOf(config.tieWordEmbeddings ? 'model.embed_tokens.weight' : 'lm_head.weight'));
}
