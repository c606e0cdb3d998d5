/** config.json as it is written: what readers elsewhere check, by their sources (docs/models.md names the versions). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { hfConfig, readEndIds, readModelConfig } from '../../src/checkpoint/hf-config.js';
import { type ModelConfig, UserError } from '../../src/index.js';
import { validateModelConfig } from '../../src/model/config.js';
import { traitsOf } from '../../src/model/families.js';
import { countParameters } from '../../src/model/parameters.js';
import { smallModel } from '../support/model.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-config-'));
afterAll(() => rmSync(root, { recursive: true }));

const base = smallModel({
  vocabSize: 100,
  hiddenSize: 48,
  intermediateSize: 80,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  maxPositionEmbeddings: 1024,
});
const scaling = { factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 512 };

const readBack = (written: Record<string, unknown>): ModelConfig => {
  writeFileSync(join(root, 'config.json'), JSON.stringify(written));
  return readModelConfig(root);
};

test.each<[string, ModelConfig, Record<string, unknown>]>([
  ['a LLaMA', base, { architectures: ['LlamaForCausalLM'], model_type: 'llama', head_dim: 12 }],
  [
    'heads that do not divide hidden_size are a Mistral without a window',
    { ...base, hiddenSize: 50 },
    { architectures: ['MistralForCausalLM'], model_type: 'mistral', sliding_window: null, num_key_value_heads: 2 },
  ],
  [
    'what has a window is a Mistral with it, whatever its heads',
    { ...base, slidingWindow: 512 },
    { architectures: ['MistralForCausalLM'], sliding_window: 512, max_position_embeddings: 1024 },
  ],
  [
    'the positions that llama3 scaling starts from stand in both places',
    { ...base, ropeScaling: { type: 'llama3', ...scaling } },
    {
      original_max_position_embeddings: 512,
      rope_scaling: { rope_type: 'llama3', original_max_position_embeddings: 512 },
    },
  ],
  [
    'biases of Q, K, V are a Qwen2 without a window, whatever its heads',
    { ...base, hiddenSize: 50, qkvBias: true },
    { architectures: ['Qwen2ForCausalLM'], model_type: 'qwen2', use_sliding_window: false, head_dim: 12 },
  ],
  [
    'norms of Q and K are a Qwen3 without a window, whatever its heads',
    { ...base, hiddenSize: 50, qkNorm: true },
    { architectures: ['Qwen3ForCausalLM'], model_type: 'qwen3', use_sliding_window: false, attention_bias: false },
  ],
  [
    'norms behind attention and MLP and of the whole Q and K are an OLMo 2',
    { ...base, qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' },
    { architectures: ['Olmo2ForCausalLM'], model_type: 'olmo2', attention_bias: false },
  ],
  [
    'layers without rotary embedding are a SmolLM3',
    { ...base, numHiddenLayers: 5, nopeLayerInterval: 2 },
    {
      ...{ architectures: ['SmolLM3ForCausalLM'], model_type: 'smollm3', use_sliding_window: false },
      ...{ no_rope_layers: [1, 0, 1, 0, 1], no_rope_layer_interval: 2 },
    },
  ],
  [
    'norms by 1 + weight before attention and MLP, GELU and scaled embeddings are a Gemma',
    { ...base, ...traitsOf('gemma') },
    // the field of transformers 5, and that of versions before, which took the other for exact GELU or not
    {
      ...{ architectures: ['GemmaForCausalLM'], model_type: 'gemma', head_dim: 12, attention_bias: false },
      ...{ hidden_act: 'gelu_pytorch_tanh', hidden_activation: 'gelu_pytorch_tanh' },
    },
  ],
  [
    'norms before and behind by 1 + weight without norms of heads are a Gemma 2, here with windows and caps',
    {
      ...{ ...base, ...traitsOf('gemma2'), numHiddenLayers: 3, queryPreAttnScalar: 24 },
      ...{ slidingWindow: 512, slidingWindowPattern: 2, attnLogitSoftcapping: 50, finalLogitSoftcapping: 30 },
    },
    {
      ...{ architectures: ['Gemma2ForCausalLM'], model_type: 'gemma2', hidden_activation: 'gelu_pytorch_tanh' },
      ...{ sliding_window: 512, query_pre_attn_scalar: 24, attn_logit_softcapping: 50, final_logit_softcapping: 30 },
      layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
    },
  ],
  [
    'or one without either',
    { ...base, ...traitsOf('gemma2') },
    {
      ...{ model_type: 'gemma2', attn_logit_softcapping: null, final_logit_softcapping: null },
      layer_types: ['full_attention', 'full_attention'],
    },
  ],
  [
    'a Gemma 3 of layers within a window and others',
    {
      ...{ ...base, ...traitsOf('gemma3'), numHiddenLayers: 3, queryPreAttnScalar: 24 },
      ...{ slidingWindow: 512, slidingWindowPattern: 2, ropeLocalBaseFreq: 1000 },
    },
    {
      ...{ architectures: ['Gemma3ForCausalLM'], model_type: 'gemma3_text', hidden_activation: 'gelu_pytorch_tanh' },
      ...{ sliding_window: 512, sliding_window_pattern: 2, rope_local_base_freq: 1000, query_pre_attn_scalar: 24 },
      layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
    },
  ],
  [
    'or one without a window',
    { ...base, ...traitsOf('gemma3') },
    // transformers makes the mask of a window also where no layer has one
    { sliding_window: 4096, sliding_window_pattern: 1, layer_types: ['full_attention', 'full_attention'] },
  ],
  [
    'fused projections are a Phi-3 without a window',
    { ...base, fusedProjections: true },
    {
      ...{ architectures: ['Phi3ForCausalLM'], model_type: 'phi3', sliding_window: null, rope_scaling: null },
      original_max_position_embeddings: 1024,
    },
  ],
  ['or with one', { ...base, fusedProjections: true, slidingWindow: 512 }, { model_type: 'phi3', sliding_window: 512 }],
])('%s, and is read back as it was', (_, config, expected) => {
  const written = hfConfig(config, 'BF16');
  expect(written).toMatchObject(expected);
  expect('sliding_window' in written).toBe(
    ['mistral', 'phi3', 'gemma2', 'gemma3_text'].includes(written.model_type as string),
  );
  expect(readBack(written)).toEqual(config);
});

test('what a Mistral leaves out is as in transformers: a window of 4096, and none only where it says so', () => {
  const sizes = { vocab_size: 100, hidden_size: 320, intermediate_size: 80, num_hidden_layers: 2 };
  const mistral = { model_type: 'mistral', ...sizes, num_attention_heads: 32 };
  expect(readBack(mistral)).toMatchObject({ slidingWindow: 4096, maxPositionEmbeddings: 131072, numKeyValueHeads: 8 });
  expect(readBack({ ...mistral, max_position_embeddings: 32768 })).toMatchObject({
    ...{ slidingWindow: 4096, maxPositionEmbeddings: 32768 },
  });
  expect(readBack({ ...mistral, sliding_window: null }).slidingWindow).toBeUndefined();
  const qwen = { model_type: 'qwen2', ...sizes, num_attention_heads: 32, sliding_window: 64 };
  expect(readBack({ ...qwen, use_sliding_window: false }).slidingWindow).toBeUndefined();
});

test('what a Qwen leaves out is as in transformers', () => {
  const sizes = { vocab_size: 100, hidden_size: 320, intermediate_size: 80, num_hidden_layers: 2 };
  expect(readBack({ model_type: 'qwen2', ...sizes, num_attention_heads: 32 })).toMatchObject({
    ...{ numKeyValueHeads: 32, headDim: 10, rmsNormEps: 1e-6, ropeTheta: 10000 },
    ...{ tieWordEmbeddings: false, maxPositionEmbeddings: 32768, qkvBias: true },
  });
  expect(readBack({ model_type: 'qwen3', ...sizes, num_attention_heads: 32 })).toMatchObject({
    ...{ numKeyValueHeads: 32, headDim: 128, maxPositionEmbeddings: 32768, qkNorm: true },
  });
  const none = { num_attention_heads: 16, num_key_value_heads: null };
  expect(readBack({ model_type: 'qwen2', ...sizes, ...none }).numKeyValueHeads).toBe(16);
});

test('what an OLMo 2 leaves out is as in transformers', () => {
  const sizes = { vocab_size: 100, hidden_size: 320, intermediate_size: 80, num_hidden_layers: 2 };
  expect(readBack({ model_type: 'olmo2', ...sizes, num_attention_heads: 32 })).toMatchObject({
    ...{ numKeyValueHeads: 32, headDim: 10, rmsNormEps: 1e-5, ropeTheta: 10000 },
    ...{
      tieWordEmbeddings: false,
      maxPositionEmbeddings: 2048,
      qkNorm: true,
      qkNormOver: 'projection',
      normPlacement: 'after',
    },
  });
});

test('what a SmolLM3 leaves out is as in transformers, and its layers are each of some number', () => {
  const sizes = { vocab_size: 100, hidden_size: 320, intermediate_size: 80, num_hidden_layers: 9 };
  const smollm = { model_type: 'smollm3', ...sizes, num_attention_heads: 16 };
  expect(readBack(smollm)).toMatchObject({
    ...{ numKeyValueHeads: 4, headDim: 20, rmsNormEps: 1e-6, ropeTheta: 2_000_000, tieWordEmbeddings: true },
    ...{ maxPositionEmbeddings: 32768, nopeLayerInterval: 4 },
  });
  const lists: readonly [readonly number[], number | undefined][] = [
    [[1, 1, 0, 1, 1, 0, 1, 1, 0], 3],
    [[1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0], 6], // more than there are layers
    [[0, 0, 0, 0, 0, 0, 0, 0, 0], 1],
    [Array(9).fill(1), undefined],
    [[...Array(9).fill(1), 0], undefined],
  ];
  for (const [no_rope_layers, interval] of lists) {
    expect(readBack({ ...smollm, no_rope_layers }).nopeLayerInterval).toBe(interval);
  }
  expect(readBack({ ...smollm, no_rope_layer_interval: 10 }).nopeLayerInterval).toBeUndefined();
  expect(() => readBack({ ...smollm, no_rope_layers: [1, 1, 0, 1, 0, 1, 1, 0, 1] })).toThrow(
    /no_rope_layers\.4 is 0: only every 3th layer can be without rotary embedding where the first is number 3/,
  );
  expect(() => readBack({ ...smollm, no_rope_layers: [1, 1, 0] })).toThrow(/there are 3 of them, and 9 layers/);
  expect(() => readBack({ ...smollm, no_rope_layers: [1, 2] })).toThrow(/no_rope_layers\.1 is 2: must be 0 or 1/);
  expect(() => readBack({ ...smollm, use_sliding_window: true, sliding_window: 512 })).toThrow(
    /sliding_window is 512: with use_sliding_window some layers have it, which is not supported/,
  );
});

test('SmolLM3 3B, as its config.json has it', () => {
  const read = readBack({
    ...{ architectures: ['SmolLM3ForCausalLM'], attention_bias: false, attention_dropout: 0.0, bos_token_id: null },
    ...{ eos_token_id: 128001, hidden_act: 'silu', hidden_size: 2048, initializer_range: 0.02 },
    ...{ intermediate_size: 11008, max_position_embeddings: 65536, max_window_layers: 28, mlp_bias: false },
    ...{ model_type: 'smollm3', no_rope_layer_interval: 4, num_attention_heads: 16, num_hidden_layers: 36 },
    ...{ num_key_value_heads: 4, pad_token_id: 128004, pretraining_tp: 2, rms_norm_eps: 1e-6, rope_scaling: null },
    ...{ rope_theta: 5000000.0, sliding_window: null, torch_dtype: 'bfloat16', use_cache: false },
    ...{ use_sliding_window: false, vocab_size: 128256, layer_types: Array(36).fill('full_attention') },
    no_rope_layers: Array.from({ length: 36 }, (_, layer) => Number(layer % 4 !== 3)),
  });
  expect(read).toMatchObject({ headDim: 128, nopeLayerInterval: 4, ropeTheta: 5_000_000, tieWordEmbeddings: true });
  expect(countParameters(read).total).toBe(3_075_098_624);
});

test.each<[string, Record<string, unknown>, Partial<ModelConfig>, number]>([
  [
    '2B',
    {
      ...{ hidden_size: 2048, intermediate_size: 16384, num_hidden_layers: 18, num_attention_heads: 8 },
      ...{ num_key_value_heads: 1, hidden_act: 'gelu', hidden_activation: 'gelu_pytorch_tanh', head_dim: 256 },
    },
    { numKeyValueHeads: 1 },
    2_506_172_416,
  ],
  [
    '7B, which leaves out what is as by default',
    { hidden_size: 3072, intermediate_size: 24576, num_hidden_layers: 28, num_attention_heads: 16, hidden_act: 'gelu' },
    { numKeyValueHeads: 16 },
    8_537_680_896,
  ],
])('published files are read: Gemma %s', (_, file, expected, parameters) => {
  const read = readBack({ model_type: 'gemma', vocab_size: 256000, ...file });
  expect(read).toMatchObject({
    ...{ ...expected, headDim: 256, rmsNormEps: 1e-6, ropeTheta: 10_000, tieWordEmbeddings: true },
    ...{ maxPositionEmbeddings: 8192, ...traitsOf('gemma') },
  });
  expect(countParameters(read).total).toBe(parameters);
});

test.each<[string, Record<string, unknown>, Partial<ModelConfig>, number]>([
  ['2B, which leaves out what is as by default', { hidden_size: 2304, intermediate_size: 9216 }, {}, 2_614_341_888],
  [
    '9B',
    {
      ...{ hidden_size: 3584, intermediate_size: 14336, num_hidden_layers: 42, num_attention_heads: 16 },
      ...{ num_key_value_heads: 8, sliding_window_size: 4096, query_pre_attn_scalar: 256 },
    },
    { numKeyValueHeads: 8 },
    9_241_705_984,
  ],
  [
    '27B, whose heads are narrower than what scores are divided by',
    {
      ...{ hidden_size: 4608, intermediate_size: 36864, num_hidden_layers: 46, num_attention_heads: 32 },
      ...{ num_key_value_heads: 16, head_dim: 128, query_pre_attn_scalar: 144, attn_logit_softcapping: 50.0 },
    },
    { numKeyValueHeads: 16, headDim: 128, queryPreAttnScalar: 144 },
    27_227_128_320,
  ],
])('published files are read: Gemma 2 %s', (_, file, expected, parameters) => {
  const sizes = { vocab_size: 256000, num_hidden_layers: 26, num_attention_heads: 8 };
  const read = readBack({ model_type: 'gemma2', ...sizes, hidden_act: 'gelu_pytorch_tanh', ...file });
  expect(read).toMatchObject({
    ...{ numKeyValueHeads: 4, headDim: 256, rmsNormEps: 1e-6, ropeTheta: 10_000, maxPositionEmbeddings: 8192 },
    ...{ slidingWindow: 4096, slidingWindowPattern: 2, attnLogitSoftcapping: 50, finalLogitSoftcapping: 30 },
    ...{ tieWordEmbeddings: true, ...traitsOf('gemma2'), ...expected },
  });
  expect(read.ropeLocalBaseFreq).toBeUndefined();
  if (!('queryPreAttnScalar' in expected)) expect(read.queryPreAttnScalar).toBeUndefined();
  expect(countParameters(read).total).toBe(parameters);
});

test('what a Gemma 3 leaves out is as in transformers', () => {
  const sizes = { vocab_size: 100, hidden_size: 320, intermediate_size: 80, num_hidden_layers: 7 };
  const gemma = { model_type: 'gemma3_text', ...sizes, num_attention_heads: 8 };
  const read = readBack(gemma);
  expect(read).toMatchObject({
    ...{ numKeyValueHeads: 4, headDim: 256, rmsNormEps: 1e-6, ropeTheta: 1_000_000, tieWordEmbeddings: true },
    ...{ maxPositionEmbeddings: 131072, slidingWindow: 4096, slidingWindowPattern: 6, ropeLocalBaseFreq: 10000 },
    ...traitsOf('gemma3'),
  });
  expect(read.queryPreAttnScalar).toBeUndefined();
  expect(readBack({ ...gemma, head_dim: 128 })).toMatchObject({ headDim: 128, queryPreAttnScalar: 256 });
});

test('a Gemma 3 of transformers 5 has types of layers, and a rotation of each', () => {
  const layer_types = ['sliding_attention', 'sliding_attention', 'full_attention', 'sliding_attention'];
  const read = readBack({
    ...{ model_type: 'gemma3_text', vocab_size: 100, hidden_size: 320, intermediate_size: 80 },
    ...{ num_hidden_layers: 4, num_attention_heads: 8, layer_types, sliding_window: 1024 },
    rope_parameters: {
      full_attention: { rope_type: 'linear', factor: 8, rope_theta: 5000 },
      sliding_attention: { rope_type: 'default', rope_theta: 300 },
    },
  });
  expect(read).toMatchObject({
    ...{ slidingWindow: 1024, slidingWindowPattern: 3, ropeLocalBaseFreq: 300, ropeTheta: 5000 },
    ropeScaling: { type: 'linear', factor: 8 },
  });
});

const GEMMA_TEXT = {
  ...{ architectures: ['Gemma3ForCausalLM'], attention_bias: false, attention_dropout: 0.0 },
  ...{ attn_logit_softcapping: null, bos_token_id: 2, eos_token_id: 1, final_logit_softcapping: null, head_dim: 256 },
  ...{ hidden_activation: 'gelu_pytorch_tanh', initializer_range: 0.02, max_position_embeddings: 32768 },
  ...{ model_type: 'gemma3_text', num_attention_heads: 4, num_key_value_heads: 1, pad_token_id: 0 },
  ...{ query_pre_attn_scalar: 256, rms_norm_eps: 1e-6, rope_local_base_freq: 10000, rope_scaling: null },
  ...{ rope_theta: 1000000, sliding_window: 512, use_cache: true, vocab_size: 262144 },
};
const LARGE_GEMMA = {
  model_type: 'gemma3_text',
  rope_scaling: { factor: 8.0, rope_type: 'linear' },
  sliding_window: 1024,
};

test.each<[string, Record<string, unknown>, Partial<ModelConfig>, number, number]>([
  [
    '270M, as transformers 4.55 wrote it',
    {
      ...{ ...GEMMA_TEXT, hidden_size: 640, intermediate_size: 2048, num_hidden_layers: 18 },
      ...{ _sliding_window_pattern: 6, use_bidirectional_attention: false },
      layer_types: Array.from({ length: 18 }, (_, i) => (i % 6 === 5 ? 'full_attention' : 'sliding_attention')),
    },
    { hiddenSize: 640, numKeyValueHeads: 1, slidingWindow: 512, maxPositionEmbeddings: 32768, vocabSize: 262144 },
    256,
    268_098_176,
  ],
  [
    '1B, as transformers 4.50 wrote it',
    {
      ...{ ...GEMMA_TEXT, hidden_size: 1152, intermediate_size: 6912, num_hidden_layers: 26 },
      ...{ cache_implementation: 'hybrid', sliding_window_pattern: 6 },
    },
    { hiddenSize: 1152, numKeyValueHeads: 1, slidingWindow: 512, maxPositionEmbeddings: 32768 },
    256,
    999_885_952,
  ],
  [
    'the text of 4B, which leaves out most of what is as by default',
    {
      ...{ ...LARGE_GEMMA, hidden_size: 2560, intermediate_size: 10240, num_hidden_layers: 34 },
      ...{ num_attention_heads: 8, vocab_size: 262208 },
    },
    {
      ...{ numAttentionHeads: 8, numKeyValueHeads: 4, slidingWindow: 1024, maxPositionEmbeddings: 131072 },
      ropeScaling: { type: 'linear', factor: 8 },
    },
    256,
    3_880_263_168,
  ],
  [
    'the text of 27B, whose heads are narrower than what scores are divided by',
    {
      ...{ ...LARGE_GEMMA, hidden_size: 5376, intermediate_size: 21504, num_hidden_layers: 62, head_dim: 128 },
      ...{ num_attention_heads: 32, num_key_value_heads: 16, query_pre_attn_scalar: 168, vocab_size: 262208 },
    },
    { headDim: 128, queryPreAttnScalar: 168, numKeyValueHeads: 16, ropeScaling: { type: 'linear', factor: 8 } },
    128,
    27_009_346_304,
  ],
])('published files are read: Gemma 3 %s', (_, file, expected, headDim, parameters) => {
  const read = readBack(file);
  expect(read).toMatchObject({
    ...{ ...expected, headDim, rmsNormEps: 1e-6, ropeTheta: 1_000_000, ropeLocalBaseFreq: 10_000 },
    ...{ slidingWindowPattern: 6, tieWordEmbeddings: true, ...traitsOf('gemma3') },
  });
  if (headDim === 256) expect(read.queryPreAttnScalar).toBeUndefined();
  expect(countParameters(read).total).toBe(parameters);
});

test('fields of some families belong to no other, and those of layers within a window together', () => {
  expect(() => validateModelConfig({ ...base, nopeLayerInterval: 2, slidingWindow: 8 })).toThrow(
    /nopeLayerInterval is 2, which a model with a sliding window does not have/,
  );
  expect(() => validateModelConfig({ ...base, nopeLayerInterval: 2, qkvBias: true })).toThrow(
    /nopeLayerInterval is 2, which a model of type qwen2 does not have/,
  );
  expect(() => validateModelConfig({ ...base, queryPreAttnScalar: 24 })).toThrow(
    /queryPreAttnScalar is 24, which a model of type llama does not have/,
  );
  expect(() => validateModelConfig({ ...base, ...traitsOf('gemma3'), attnLogitSoftcapping: 50 })).toThrow(
    /attnLogitSoftcapping is 50, which a model of type gemma3 does not have/,
  );
  expect(() => validateModelConfig({ ...base, ...traitsOf('gemma2'), ropeLocalBaseFreq: 100 })).toThrow(
    /ropeLocalBaseFreq is 100, which a model of type gemma2 does not have/,
  );
  expect(() => validateModelConfig({ ...base, ...traitsOf('gemma2'), slidingWindow: 512 })).toThrow(
    /slidingWindow and slidingWindowPattern are given together or not at all: here they are 512, missing/,
  );
  expect(() => validateModelConfig({ ...base, ...traitsOf('gemma3'), slidingWindow: 512 })).toThrow(
    /are given together or not at all: here they are 512, missing, missing/,
  );
});

test('what a Phi-3 leaves out is as in transformers', () => {
  const sizes = { vocab_size: 100, hidden_size: 320, intermediate_size: 80, num_hidden_layers: 2 };
  const read = readBack({ model_type: 'phi3', ...sizes, num_attention_heads: 32 });
  expect(read).toMatchObject({
    ...{ numKeyValueHeads: 32, headDim: 10, rmsNormEps: 1e-5, ropeTheta: 10000 },
    ...{ tieWordEmbeddings: false, maxPositionEmbeddings: 4096, fusedProjections: true },
  });
  expect(read.slidingWindow).toBeUndefined();
});

describe('ends of a text', () => {
  /** What is read of a folder where the two files name these ends. */
  const endsOf = (own: unknown, forGeneration?: unknown) => {
    const folder = mkdtempSync(join(root, 'ends-'));
    const write = (name: string, json: object) => writeFileSync(join(folder, name), JSON.stringify(json));
    write('config.json', { ...hfConfig(base, 'BF16'), eos_token_id: own });
    if (forGeneration !== undefined) write('generation_config.json', { eos_token_id: forGeneration });
    return readEndIds(folder);
  };

  test('an id or a list of them, of generation_config.json before config.json', () => {
    expect(endsOf(7)).toEqual([7]);
    expect(endsOf([7, 0, 99])).toEqual([7, 0, 99]);
    expect(endsOf(7, [3, 4])).toEqual([3, 4]);
    expect(endsOf([3, 4], 7)).toEqual([7]);
    expect(endsOf([3, 4], null)).toEqual([3, 4]);
    expect(endsOf(null, null)).toEqual([]);
    expect(endsOf(undefined)).toEqual([]);
  });

  test.each([
    [[3, 100], undefined, /config.json': eos_token_id is \[3,100\]: 100 is outside the vocabulary of 100/],
    [7, -1, /generation_config.json': eos_token_id is -1: -1 is outside the vocabulary of 100/],
    [7, ['7'], /generation_config.json': eos_token_id is \["7"\]: it must be the id of a token, or a list of them/],
    [1.5, undefined, /config.json': eos_token_id is 1.5: it must be the id of a token, or a list of them/],
    [true, undefined, /config.json': eos_token_id is true: it must be the id/],
  ])('%j and %j are refused', (own, forGeneration, message) => {
    expect(() => endsOf(own, forGeneration)).toThrow(message);
    expect(() => endsOf(own, forGeneration)).toThrow(UserError);
  });
});
