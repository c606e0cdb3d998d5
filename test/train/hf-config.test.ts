/** config.json as it is written: what readers elsewhere check, by their sources (docs/models.md names the versions). */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { ModelConfig } from '../../src/index.js';
import { hfConfig, readModelConfig } from '../../src/train/hf-config.js';
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
])('%s, and is read back as it was', (_, config, expected) => {
  const written = hfConfig(config, 'BF16');
  expect(written).toMatchObject(expected);
  expect('sliding_window' in written).toBe(written.model_type === 'mistral');
  expect(readBack(written)).toEqual(config);
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
