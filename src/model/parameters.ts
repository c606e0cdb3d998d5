/** The parameters of a model: names, shapes and how many, as one and as the groups that kernels take. */
import { type ModelConfig, windowOf } from './config.js';
import { LAYER_NORMS } from './families.js';

/** The tensors that have a row a token, by Hugging Face name; tied, the embedding is the head. */
export const EMBEDDING = 'model.embed_tokens.weight';
export const HEAD = 'lm_head.weight';
export const TOKEN_TENSORS: readonly string[] = [EMBEDDING, HEAD];

/** A parameter's name in Hugging Face's layout, its shape, and whether weight decay applies (matrices only). */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly decay: boolean;
}

/** Returns every parameter, in the order of the model. */
export function parameterSpecs(config: ModelConfig): ParameterSpec[] {
  const { vocabSize, hiddenSize: C, intermediateSize: F, numAttentionHeads: H, numKeyValueHeads: KV, headDim } = config;
  const matrix = (name: string, rows: number, columns: number) => ({ name, shape: [rows, columns], decay: true });
  const vector = (name: string, size: number) => ({ name, shape: [size], decay: false });
  const norm = (name: string) => vector(name, C);
  const [Q, K] = [H * headDim, KV * headDim];
  const norms = LAYER_NORMS[config.normPlacement ?? 'before'];
  const isWhole = config.qkNormOver === 'projection';
  const specs: ParameterSpec[] = [matrix(EMBEDDING, vocabSize, C)];
  for (let layer = 0; layer < config.numHiddenLayers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const pushNorm = (name: string | undefined) => {
      if (name !== undefined) specs.push(norm(`${prefix}${name}.weight`));
    };
    pushNorm(norms.attention.before);
    specs.push(
      ...(config.fusedProjections
        ? [matrix(`${prefix}self_attn.qkv_proj.weight`, Q + 2 * K, C)]
        : [
            matrix(`${prefix}self_attn.q_proj.weight`, Q, C),
            matrix(`${prefix}self_attn.k_proj.weight`, K, C),
            matrix(`${prefix}self_attn.v_proj.weight`, K, C),
          ]),
    );
    if (config.qkvBias) {
      specs.push(
        vector(`${prefix}self_attn.q_proj.bias`, Q),
        vector(`${prefix}self_attn.k_proj.bias`, K),
        vector(`${prefix}self_attn.v_proj.bias`, K),
      );
    }
    if (config.qkNorm) {
      specs.push(
        vector(`${prefix}self_attn.q_norm.weight`, isWhole ? Q : headDim),
        vector(`${prefix}self_attn.k_norm.weight`, isWhole ? K : headDim),
      );
    }
    specs.push(matrix(`${prefix}self_attn.o_proj.weight`, C, Q));
    pushNorm(norms.attention.after);
    pushNorm(norms.mlp.before);
    specs.push(
      ...(config.fusedProjections
        ? [matrix(`${prefix}mlp.gate_up_proj.weight`, 2 * F, C)]
        : [matrix(`${prefix}mlp.gate_proj.weight`, F, C), matrix(`${prefix}mlp.up_proj.weight`, F, C)]),
      matrix(`${prefix}mlp.down_proj.weight`, C, F),
    );
    pushNorm(norms.mlp.after);
  }
  specs.push(norm('model.norm.weight'));
  if (!config.tieWordEmbeddings) specs.push(matrix(HEAD, vocabSize, C));
  return specs;
}

/** Parameters that kernels take as one matrix or vector: their rows or elements stand one after the other. */
export interface ParameterGroup {
  readonly name: string;
  readonly shape: readonly number[];
  readonly decay: boolean;
  readonly parts: readonly ParameterSpec[];
}

/** The endings of the names of parameters that make a group, and of the group's name. */
const FUSED: readonly { readonly parts: readonly string[]; readonly group: string }[] = [
  {
    parts: ['self_attn.q_proj.weight', 'self_attn.k_proj.weight', 'self_attn.v_proj.weight'],
    group: 'self_attn.qkv_proj.weight',
  },
  {
    parts: ['self_attn.q_proj.bias', 'self_attn.k_proj.bias', 'self_attn.v_proj.bias'],
    group: 'self_attn.qkv_proj.bias',
  },
  { parts: ['mlp.gate_proj.weight', 'mlp.up_proj.weight'], group: 'mlp.gate_up_proj.weight' },
];

/**
 * Returns every parameter once, in the order of the model: Q, K and V together, gate and up together, the others alone.
 * A model with fused projections has these groups as parameters.
 */
export function parameterGroups(config: ModelConfig): ParameterGroup[] {
  const groups: ParameterGroup[] = [];
  for (const spec of parameterSpecs(config)) {
    const fused = FUSED.find(({ parts }) => parts.some(part => spec.name.endsWith(part)));
    const part = fused?.parts.find(part => spec.name.endsWith(part));
    const name = fused ? spec.name.replace(part!, fused.group) : spec.name;
    const last = groups.at(-1);
    if (last?.name === name) {
      const shape = [last.shape[0]! + spec.shape[0]!, ...last.shape.slice(1)];
      groups[groups.length - 1] = { ...last, shape, parts: [...last.parts, spec] };
    } else {
      groups.push({ name, shape: spec.shape, decay: spec.decay, parts: [spec] });
    }
  }
  return groups;
}

/** The number of parameters, by the three counts that are in use. */
export interface ParameterCounts {
  /** All parameters; a tied head counts once. */
  readonly total: number;
  /** All parameters but the embedding table and an untied head. */
  readonly withoutEmbeddings: number;
  /**
   * The parameters that every token is multiplied by: all but a table that is only looked up. FLOPs are 6 · this ·
   * tokens.
   */
  readonly multiplied: number;
}

export function countParameters(config: ModelConfig): ParameterCounts {
  const total = parameterSpecs(config).reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  const table = config.vocabSize * config.hiddenSize;
  return {
    total,
    withoutEmbeddings: total - (config.tieWordEmbeddings ? table : 2 * table),
    multiplied: config.tieWordEmbeddings ? total : total - table,
  };
}

/** Training FLOPs per token by the usual count, 6·N (forward 2·N, backward 4·N), without attention scores. */
export const flopsPerToken = (config: ModelConfig): number => 6 * countParameters(config).multiplied;

/**
 * Returns the FLOPs of the causal attention products for each token of a sequence of T: 12·H·D·T a layer over the full
 * square, halved, or as much of that as is within a window.
 */
export function attentionFlopsPerToken(config: ModelConfig, T: number): number {
  const layers = Array.from({ length: config.numHiddenLayers }, (_, layer) => {
    const beyond = Math.max(0, T - (windowOf(config, layer) ?? T));
    return 6 * config.numAttentionHeads * config.headDim * (T - beyond ** 2 / T);
  });
  return layers.reduce((a, b) => a + b, 0);
}
