/** A model as a folder in Hugging Face's LLaMA layout: config.json, model.safetensors, and tokenizer.json beside them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import type { Device } from '../gpu/device.js';
import { type ModelConfig, parameterSpecs, validateModelConfig } from '../model/config.js';
import { Model, type ModelOptions } from '../model/model.js';
import { SafetensorsFile, writeSafetensors } from './safetensors.js';

const configSchema = z.looseObject({
  model_type: z.literal('llama'),
  hidden_act: z.literal('silu').default('silu'),
  vocab_size: z.int().positive(),
  hidden_size: z.int().positive(),
  intermediate_size: z.int().positive(),
  num_hidden_layers: z.int().positive(),
  num_attention_heads: z.int().positive(),
  num_key_value_heads: z.int().positive().optional(),
  head_dim: z.int().positive().nullish(),
  rms_norm_eps: z.number().positive().default(1e-6),
  rope_theta: z.number().positive().default(10000),
  rope_scaling: z.null().optional(),
  attention_bias: z.literal(false).optional(),
  mlp_bias: z.literal(false).optional(),
  tie_word_embeddings: z.boolean().default(false),
  max_position_embeddings: z.int().positive().default(2048),
});

/** @throws UserError naming the file, and the field with its value when one is missing, mistyped or not supported. */
export function readModelConfig(folder: string): ModelConfig {
  const path = join(folder, 'config.json');
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    const why = error instanceof SyntaxError ? `is not JSON: ${error.message}` : 'cannot be read';
    throw new UserError(`'${path}' ${why}; a checkpoint folder holds config.json and model.safetensors`);
  }
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const { path: field, message } = parsed.error.issues[0]!;
    throw new UserError(`'${path}': ${field.join('.') || 'the file'}: ${message}`);
  }
  const c = parsed.data;
  if (!c.head_dim && c.hidden_size % c.num_attention_heads !== 0) {
    throw new UserError(`'${path}': ${c.num_attention_heads} heads do not divide hidden_size ${c.hidden_size}`);
  }
  return validateModelConfig({
    vocabSize: c.vocab_size,
    hiddenSize: c.hidden_size,
    intermediateSize: c.intermediate_size,
    numHiddenLayers: c.num_hidden_layers,
    numAttentionHeads: c.num_attention_heads,
    numKeyValueHeads: c.num_key_value_heads ?? c.num_attention_heads,
    headDim: c.head_dim ?? c.hidden_size / c.num_attention_heads,
    rmsNormEps: c.rms_norm_eps,
    ropeTheta: c.rope_theta,
    tieWordEmbeddings: c.tie_word_embeddings,
    maxPositionEmbeddings: c.max_position_embeddings,
  });
}

/**
 * Loads a model folder onto a device.
 * @throws UserError when a file is missing or cut off, or shapes, names or types don't fit config.json.
 */
export async function loadModel(device: Device, folder: string, options: ModelOptions = {}): Promise<Model> {
  const config = readModelConfig(folder);
  const file = SafetensorsFile.open(join(folder, 'model.safetensors'));
  try {
    const specs = parameterSpecs(config);
    const known = new Set(specs.map(({ name }) => name));
    const extra = file.names.filter(name => !known.has(name));
    if (extra.length > 0) {
      const hint = extra.includes('lm_head.weight') ? ' (config.json says tie_word_embeddings: true)' : '';
      throw new UserError(`'${file.path}' has tensors that config.json does not call for: ${extra.join(', ')}${hint}`);
    }
    for (const { name } of specs) file.shape(name); // a missing one is found before any is loaded
    return await Model.create(device, config, ({ name, shape }) => file.read(name, shape), options);
  } finally {
    file.close();
  }
}

/** Writes config.json, model.safetensors and, where given, tokenizer.json into a folder that appears whole. */
export async function writeModel(model: Model, folder: string, tokenizerJson?: string): Promise<void> {
  const c = model.config;
  const config = {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_act: 'silu',
    vocab_size: c.vocabSize,
    hidden_size: c.hiddenSize,
    intermediate_size: c.intermediateSize,
    num_hidden_layers: c.numHiddenLayers,
    num_attention_heads: c.numAttentionHeads,
    num_key_value_heads: c.numKeyValueHeads,
    head_dim: c.headDim,
    rms_norm_eps: c.rmsNormEps,
    rope_theta: c.ropeTheta,
    rope_scaling: null,
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: c.tieWordEmbeddings,
    max_position_embeddings: c.maxPositionEmbeddings,
    initializer_range: 0.02,
    torch_dtype: 'float32',
  };
  writeFileWhole(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  if (tokenizerJson !== undefined) writeFileWhole(join(folder, 'tokenizer.json'), tokenizerJson);
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    model.specs.map(({ name, shape }) => ({ name, shape, read: () => model.read(name) })),
  );
}
