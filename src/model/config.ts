/** The shape of a LLaMA-architecture model, and what follows from it. */
import { z } from 'zod';
import { UserError } from '../errors.js';
import { ACTIVATIONS } from '../kernels/swiglu.js';
import type { RopeScaling } from '../ops/rope.js';
import { inWords } from '../schema.js';
import { checkFamilyFields, familyOf, LAYER_NORMS, NORM_PLACEMENTS, QK_NORM_OVER } from './families.js';

const WHOLE = { error: 'must be a positive whole number' };
const POSITIVE = { error: 'must be a positive number' };
const whole = z.int(WHOLE).positive(WHOLE);
const positive = z.number(POSITIVE).positive(POSITIVE);
const CAP = { error: 'must be a number from 0.001 to 1000000' };
const cap = z.number(CAP).min(0.001, CAP).max(1e6, CAP);
const flag = z.boolean({ error: 'must be true or false' });

const ropeScaling = z.discriminatedUnion('type', [
  z.object({ type: z.literal('linear'), factor: positive }),
  z.object({
    type: z.literal('llama3'),
    factor: positive,
    lowFreqFactor: positive,
    highFreqFactor: positive,
    originalMaxPositionEmbeddings: positive,
  }),
]) satisfies z.ZodType<RopeScaling>;

/**
 * The fields of a model. Each is declared here alone: types, flags with their help, and what run.yaml and the record of
 * a run hold follow from it. The names are those of Hugging Face's config.json, in camel case.
 */
export const modelSchema = z.object({
  vocabSize: whole.describe("entries of the embedding (default: the tokenizer's)"),
  hiddenSize: whole.describe('width of the residual stream'),
  /** Width of the SwiGLU MLP (one of its matrices, not gate and up together). */
  intermediateSize: whole.describe('width of the SwiGLU MLP'),
  numHiddenLayers: whole.describe('layers'),
  numAttentionHeads: whole.describe('query heads'),
  numKeyValueHeads: whole.describe('key/value heads (default: as many as query heads)'),
  /** Size of one attention head; usually hiddenSize / numAttentionHeads. */
  headDim: whole.describe('size of a head (default: hiddenSize / numAttentionHeads)'),
  rmsNormEps: positive.describe('eps of RMSNorm (default 1e-5)'),
  ropeTheta: positive.describe('base of the rotary embedding (default 10000)'),
  ropeScaling: ropeScaling.optional(),
  tieWordEmbeddings: flag.describe('one matrix for embedding and head (default true)'),
  maxPositionEmbeddings: whole,
  /** How many of the newest tokens each one attends to, itself among them (Mistral, Gemma 2 and 3). Default all. */
  slidingWindow: whole.optional().describe('tokens that each one attends to, the newest (default all)'),
  /** Each layer of this number attends to all tokens, those between within the window (Gemma 2 and 3). Default none. */
  slidingWindowPattern: whole
    .optional()
    .describe(
      'each layer of this number attends to all tokens, as in Gemma 2 and 3 (default: none, where there is a window)',
    ),
  /** The base of the rotary embedding in layers within the window (Gemma 3), which is not scaled. */
  ropeLocalBaseFreq: positive
    .optional()
    .describe('base of the rotary embedding in layers within the window of a Gemma 3'),
  /** What scores are divided by the root of (Gemma 2 and 3). Default headDim. */
  queryPreAttnScalar: positive
    .optional()
    .describe('what scores are divided by the root of, in a Gemma 2 or 3 (default headDim)'),
  /** What scores, and logits, are capped at: cap · tanh(x / cap) (Gemma 2). Default: they are not. */
  attnLogitSoftcapping: cap
    .optional()
    .describe('soft cap of attention scores, 50 in a published Gemma 2 (default none)'),
  finalLogitSoftcapping: cap.optional().describe('soft cap of logits, 30 in a published Gemma 2 (default none)'),
  /** Whether the projections to Q, K and V have biases (Qwen2); that of the output has none. Default false. */
  qkvBias: flag.optional().describe('biases of the projections to Q, K and V, as Qwen2 has them (default false)'),
  /** Whether each head of Q and of K passes an RMSNorm of its own before it is rotated (Qwen3). Default false. */
  qkNorm: flag.optional().describe('RMSNorm over each head of Q and K, as Qwen3 has it (default false)'),
  qkNormOver: z
    .enum(QK_NORM_OVER)
    .optional()
    .describe('qkNorm: over each head, or over the whole projection, as OLMo 2 has it (default head)'),
  normPlacement: z
    .enum(NORM_PLACEMENTS)
    .optional()
    .describe('RMSNorm before attention and MLP, after them (OLMo 2), or both (Gemma 2 and 3) (default before)'),
  /** Whether norms multiply by 1 + weight, so that a weight of 0 is a norm alone (Gemma). Default false. */
  normUnitOffset: flag.optional().describe('RMSNorm by 1 + weight, as Gemma has it (default false)'),
  hiddenAct: z.enum(ACTIVATIONS).optional().describe('what the gate of the MLP passes; GELU in Gemma (default silu)'),
  scaledEmbeddings: flag
    .optional()
    .describe('embeddings times the root of hiddenSize, as Gemma has them (default false)'),
  /** Whether Q, K and V are one matrix, and gate and up another, by name (Phi-3). Default false. */
  fusedProjections: flag.optional(),
});
export type ModelConfig = Readonly<z.infer<typeof modelSchema>>;

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

/** Checks a configuration, and returns it. @throws UserError naming the field and what it must be. */
export function validateModelConfig(config: ModelConfig): ModelConfig {
  const [issue] = modelSchema.safeParse(config, inWords).error?.issues ?? [];
  if (issue) {
    const value = issue.path.reduce<unknown>((within, key) => (within as Record<PropertyKey, unknown>)[key], config);
    throw new UserError(`model: ${issue.path.join('.')} is ${value}; it ${issue.message}`);
  }
  checkSizes(config);
  const { numAttentionHeads, numKeyValueHeads, headDim } = config;
  if (numAttentionHeads % numKeyValueHeads !== 0) {
    throw new UserError(
      `model: numAttentionHeads ${numAttentionHeads} is not a multiple of numKeyValueHeads ${numKeyValueHeads}`,
    );
  }
  if (headDim % 2 !== 0) throw new UserError(`model: the head size ${headDim} is odd; rotary embedding needs pairs`);
  const family = familyOf(config);
  const { ropeScaling: scaling } = config;
  if (scaling && family === 'phi3') {
    throw new UserError(`model: ropeScaling is of type ${scaling.type}, which a Phi-3 (fusedProjections) cannot have`);
  }
  checkFamilyFields(config);
  if (scaling?.type === 'llama3' && scaling.highFreqFactor <= scaling.lowFreqFactor) {
    throw new UserError(
      `model: ropeScaling.highFreqFactor ${scaling.highFreqFactor} is not above lowFreqFactor ${scaling.lowFreqFactor}`,
    );
  }
  return config;
}

/** The most layers. Lists of tensors are made of them; published models have some hundreds at most. */
const MOST_LAYERS = 10_000;
/** The most entries of a vocabulary: ids are u32. */
const MOST_ENTRIES = 2 ** 32;

/**
 * Refuses what no file and no device could hold, before a list is made: bytes are counted exactly up to 2^53.
 * @throws UserError naming the field, or the size of the whole.
 */
function checkSizes(config: ModelConfig): void {
  const { numHiddenLayers: layers, vocabSize, hiddenSize: C, intermediateSize: F, headDim } = config;
  const most = (field: keyof ModelConfig, bound: number) => {
    const value = Number(config[field]);
    if (value > bound) throw new UserError(`model: ${field} is ${value}; it must be at most ${bound}`);
  };
  most('numHiddenLayers', MOST_LAYERS);
  most('vocabSize', MOST_ENTRIES);
  const heads = 2 * (config.numAttentionHeads + config.numKeyValueHeads);
  const parameters = 2 * vocabSize * C + layers * C * (heads * headDim + 3 * F);
  const bytes = 4 * (parameters + config.maxPositionEmbeddings * headDim);
  if (bytes <= Number.MAX_SAFE_INTEGER) return;
  throw new UserError(
    `model: weights and positions would take about ${bytes.toPrecision(3)} bytes, which nothing can hold; check ` +
      'vocabSize, hiddenSize, intermediateSize, numHiddenLayers, the heads and their size, maxPositionEmbeddings',
  );
}

/** Whether a layer attends within the sliding window alone, while others attend to all. */
export const isLocal = (
  { slidingWindowPattern: pattern }: Pick<ModelConfig, 'slidingWindowPattern'>,
  layer: number,
): boolean => pattern !== undefined && (layer + 1) % pattern !== 0;

/** Whether a layer is rotated by a base of its own: in a Gemma 3 those within the window. */
export const isRotatedApart = (config: ModelConfig, layer: number): boolean =>
  config.ropeLocalBaseFreq !== undefined && isLocal(config, layer);

/** Returns how many of the newest tokens each one attends to in a layer; undefined: all. */
export const windowOf = (config: ModelConfig, layer: number): number | undefined =>
  config.slidingWindowPattern === undefined || isLocal(config, layer) ? config.slidingWindow : undefined;

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
