/**
 * Converts Hugging Face's config.json to a model's configuration and back. What the architecture here does not compute
 * is refused by field and value; fields that change nothing in a forward pass are left alone.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { messageOf, UserError } from '../errors.js';
import { type ModelConfig, validateModelConfig } from '../model/config.js';
import { familyOf, traitsOf } from '../model/families.js';
import type { RopeScaling } from '../ops/rope.js';
import { type Architecture, architectureOf, type ModelType, readArchitecture } from './hf-architectures.js';
import { gemmaConfig, isGemma, readGemma } from './hf-gemma.js';
import { parse, readObject, refuse } from './hf-json.js';
import { readSmollm, smollmConfig } from './hf-smollm.js';
import type { WeightType } from './weight-types.js';

const count = z.int().positive();
const positive = z.number().positive();
const ids = z
  .union([z.int(), z.array(z.int())], { error: 'it must be the id of a token, or a list of them' })
  .nullish();

/**
 * The ids of special tokens, which go along for whoever generates text; here only the ends are read, by `readEndIds`.
 */
const tokenIdsSchema = z.object({ bos_token_id: ids, eos_token_id: ids, pad_token_id: ids });
export type TokenIds = z.infer<typeof tokenIdsSchema>;
const endIdsSchema = tokenIdsSchema.pick({ eos_token_id: true });

const ropeSchema = z.looseObject({
  rope_type: z.string().optional(),
  /** The name of the field before there was rope_type. */
  type: z.string().optional(),
  rope_theta: positive.optional(),
  partial_rotary_factor: z.literal(1).optional(),
  factor: positive.optional(),
  low_freq_factor: positive.optional(),
  high_freq_factor: positive.optional(),
  original_max_position_embeddings: positive.optional(),
});

const configSchema = z.looseObject({
  hidden_act: z.literal('silu').default('silu'),
  vocab_size: count,
  hidden_size: count,
  intermediate_size: count,
  num_hidden_layers: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  rms_norm_eps: positive.optional(),
  rope_theta: positive.nullish(),
  /** The field of transformers 4; transformers 5 has rope_parameters, with the base in it. */
  rope_scaling: ropeSchema.nullish(),
  rope_parameters: ropeSchema.nullish(),
  rope_interleaved: z.literal(false).nullish(),
  partial_rotary_factor: z.literal(1).nullish(),
  sliding_window: count.nullish(),
  use_sliding_window: z.boolean().default(false),
  layer_types: z.array(z.literal('full_attention')).nullish(),
  attention_bias: z.boolean().nullish(),
  attention_dropout: z.literal(0).nullish(),
  embd_pdrop: z.literal(0).nullish(),
  resid_pdrop: z.literal(0).nullish(),
  mlp_bias: z.literal(false).nullish(),
  quantization_config: z.null().optional(),
  tie_word_embeddings: z.boolean().optional(),
  max_position_embeddings: count.optional(),
  ...tokenIdsSchema.shape,
});
type HfConfig = z.infer<typeof configSchema>;

/**
 * Reads a model's configuration from a folder.
 * @throws UserError naming the file, and the field with its value when one is missing, mistyped or not supported.
 */
export function readModelConfig(folder: string): ModelConfig {
  const path = join(folder, 'config.json');
  const file = readObject(path);
  const architecture = readArchitecture(path, file);
  const gemma = isGemma(architecture.family) ? readGemma(path, architecture.family, file) : undefined;
  const c = parse(path, configSchema, gemma?.others ?? file);
  const { num_attention_heads: heads, max_position_embeddings: maxPositionEmbeddings = architecture.positions } = c;
  const headDim = c.head_dim ?? architecture.headDim ?? c.hidden_size / heads;
  if (!Number.isInteger(headDim)) {
    throw new UserError(`'${path}': ${heads} heads do not divide hidden_size ${c.hidden_size}`);
  }
  const window = windowOf(c, architecture);
  if (window && window < maxPositionEmbeddings && architecture.switchesWindow) {
    refuse(path, 'sliding_window', window, 'with use_sliding_window some layers have it, which is not supported');
  }
  // a Qwen2 does not read this field: it always has biases of Q, K and V, and never one of the output
  if (c.attention_bias && architecture.family !== 'qwen2') {
    refuse(path, 'attention_bias', true, 'biases of the projections are those of Qwen2 alone');
  }
  const ropeScaling = ropeScalingOf(path, c);
  const config = {
    vocabSize: c.vocab_size,
    hiddenSize: c.hidden_size,
    intermediateSize: c.intermediate_size,
    numHiddenLayers: c.num_hidden_layers,
    numAttentionHeads: heads,
    numKeyValueHeads:
      (c.num_key_value_heads === undefined ? architecture.keyValueHeads : c.num_key_value_heads) ?? heads,
    headDim,
    rmsNormEps: c.rms_norm_eps ?? architecture.rmsNormEps ?? 1e-6,
    ropeTheta: c.rope_parameters?.rope_theta ?? c.rope_theta ?? architecture.ropeTheta ?? 10000,
    ...(ropeScaling && { ropeScaling }),
    tieWordEmbeddings: c.tie_word_embeddings ?? architecture.tied ?? false,
    maxPositionEmbeddings,
    ...(window && !architecture.switchesWindow && { slidingWindow: window }),
    ...gemma?.fields,
    ...(file.model_type === 'smollm3' && readSmollm(path, file)),
    ...traitsOf(architecture.family),
  };
  try {
    return validateModelConfig(config);
  } catch (error) {
    throw new UserError(`'${path}': ${messageOf(error)}`);
  }
}

const windowOf = (
  { sliding_window: window, use_sliding_window: isUsed }: HfConfig,
  { slidingWindow, switchesWindow }: Architecture,
) => (switchesWindow && !isUsed ? null : window === undefined ? slidingWindow : window);

/** Reads the ids of special tokens from a folder's config.json. @throws UserError as `readModelConfig`. */
export function readTokenIds(folder: string): TokenIds {
  const path = join(folder, 'config.json');
  return parse(path, tokenIdsSchema, readObject(path));
}

/**
 * Reads the tokens that end what the model says: `eos_token_id` of generation_config.json where that names any, else of
 * config.json, as in transformers. There are none where neither names any.
 * @throws UserError naming the file, and the field with its value when it holds what is no id of the vocabulary.
 */
export function readEndIds(folder: string): readonly number[] {
  const own = join(folder, 'config.json');
  const { vocab_size: vocabSize } = parse(own, z.object({ vocab_size: count }), readObject(own));
  for (const path of [join(folder, 'generation_config.json'), own]) {
    if (!existsSync(path)) continue;
    const { eos_token_id: given } = parse(path, endIdsSchema, readObject(path));
    if (given === undefined || given === null) continue;
    const ids = [given].flat();
    const foreign = ids.find(id => id < 0 || id >= vocabSize);
    if (foreign === undefined) return ids;
    refuse(
      path,
      'eos_token_id',
      given,
      `${foreign} is outside the vocabulary of ${vocabSize} (vocab_size in config.json)`,
    );
  }
  return [];
}

const TORCH_TYPES: Readonly<Record<WeightType, string>> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };

/**
 * Returns the model_type of what a configuration computes. transformers refuses a LLaMA whose heads do not divide
 * hidden_size. It takes such a Mistral, which alone has a window and without it computes the same, and such a Qwen.
 */
function modelTypeOf(c: ModelConfig): ModelType {
  const family = familyOf(c);
  if (family === 'gemma3') return 'gemma3_text';
  if (family !== 'llama') return family;
  if (c.nopeLayerInterval !== undefined) return 'smollm3';
  return c.slidingWindow === undefined && c.hiddenSize % c.numAttentionHeads === 0 ? 'llama' : 'mistral';
}

/** Returns the config.json of a model folder. Ids that are not known are null: transformers would take 1 and 2. */
export function hfConfig(c: ModelConfig, type: WeightType, tokenIds?: TokenIds): Record<string, unknown> {
  const modelType = modelTypeOf(c);
  const { name, family, slidingWindow, switchesWindow } = architectureOf(modelType);
  const window = switchesWindow ? { use_sliding_window: false } : { sliding_window: c.slidingWindow ?? null };
  return {
    architectures: [name],
    model_type: modelType,
    ...(slidingWindow !== undefined && window),
    ...(isGemma(family) ? gemmaConfig(family, c) : { hidden_act: 'silu' }),
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.numHiddenLayers,
    num_attention_heads: c.numAttentionHeads,
    num_key_value_heads: c.numKeyValueHeads,
    head_dim: c.headDim,
    rms_norm_eps: c.rmsNormEps,
    rope_theta: c.ropeTheta,
    rope_scaling: c.ropeScaling ? hfRopeScaling(c.ropeScaling) : null,
    // the field stands once more where llama.cpp's converter looks for it, which asks a Phi-3 for it, too
    ...(c.ropeScaling?.type === 'llama3' && {
      original_max_position_embeddings: c.ropeScaling.originalMaxPositionEmbeddings,
    }),
    ...(modelType === 'phi3' && { original_max_position_embeddings: c.maxPositionEmbeddings }),
    ...(!c.qkvBias && { attention_bias: false }),
    mlp_bias: false,
    ...(modelType === 'smollm3' && smollmConfig(c)),
    tie_word_embeddings: c.tieWordEmbeddings,
    max_position_embeddings: c.maxPositionEmbeddings,
    initializer_range: 0.02,
    bos_token_id: tokenIds?.bos_token_id ?? null,
    eos_token_id: tokenIds?.eos_token_id ?? null,
    pad_token_id: tokenIds?.pad_token_id ?? null,
    torch_dtype: TORCH_TYPES[type],
  };
}

function hfRopeScaling(scaling: RopeScaling): Record<string, unknown> {
  if (scaling.type === 'linear') return { rope_type: 'linear', factor: scaling.factor };
  return {
    rope_type: 'llama3',
    factor: scaling.factor,
    low_freq_factor: scaling.lowFreqFactor,
    high_freq_factor: scaling.highFreqFactor,
    original_max_position_embeddings: scaling.originalMaxPositionEmbeddings,
  };
}

const KNOWN_ROPE = 'the types that can be read are default, linear and llama3';

function ropeScalingOf(path: string, { rope_scaling, rope_parameters }: HfConfig): RopeScaling | undefined {
  const field = rope_parameters ? 'rope_parameters' : 'rope_scaling';
  const rope = rope_parameters ?? rope_scaling;
  if (!rope) return undefined;
  if (rope_parameters && rope_scaling) {
    refuse(path, 'rope_scaling', rope_scaling, 'rope_parameters says something of it, too; leave only one of them');
  }
  const type = rope.rope_type ?? rope.type;
  const need = (key: 'factor' | 'low_freq_factor' | 'high_freq_factor' | 'original_max_position_embeddings') =>
    rope[key] ?? refuse(path, `${field}.${key}`, undefined, `rope_type '${type}' needs it`);
  switch (type) {
    case 'default':
      return undefined;
    case 'linear':
      return { type, factor: need('factor') };
    case 'llama3':
      return {
        type,
        factor: need('factor'),
        lowFreqFactor: need('low_freq_factor'),
        highFreqFactor: need('high_freq_factor'),
        originalMaxPositionEmbeddings: need('original_max_position_embeddings'),
      };
    case 'longrope':
    case 'su': {
      const why = 'it has other frequencies for short sequences than for long ones, and scales what is rotated';
      return refuse(path, `${field}.${rope.rope_type ? 'rope_type' : 'type'}`, type, `${why}; ${KNOWN_ROPE}`);
    }
    default:
      return refuse(path, `${field}.rope_type`, type, KNOWN_ROPE);
  }
}
