/** Small checkpoints in the layouts that are found on Hugging Face, written by code apart from the project's own. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { halvesOf } from '../../src/half.js';
import { Random } from '../../src/random.js';

export type Json = Record<string, unknown>;
export type Bytes = Uint8Array;
export interface RawTensor {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: Bytes;
}

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

/** Values as a file of that type holds them; BF16 takes values that it holds exactly. */
export function packed(values: Float32Array, dtype: string): Bytes {
  if (dtype === 'F32') return new Uint8Array(values.buffer.slice(0));
  if (dtype === 'F16') return new Uint8Array(halvesOf(values).buffer);
  const words = new Uint32Array(values.buffer);
  return new Uint8Array(Uint16Array.from(words, word => word >>> 16).buffer);
}

/** A file of tensors, one after the other; `edit` may spoil its header. */
export function safetensors(tensors: ReadonlyMap<string, RawTensor>, edit: (header: Json) => void = () => {}): Buffer {
  const header: Json = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, { dtype, shape, bytes }] of tensors) {
    header[name] = { dtype, shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
  }
  edit(header);
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return Buffer.concat([length, text, ...[...tensors.values()].map(({ bytes }) => bytes)]);
}

/** Tensors of the architecture that a config.json describes: random values, of which the bits depend on the name. */
export function tensorsOf(config: Json, dtype: string): Map<string, RawTensor> {
  const number = (field: string, otherwise?: number) => (config[field] as number | undefined) ?? otherwise!;
  const [C, F, V] = [number('hidden_size'), number('intermediate_size'), number('vocab_size')];
  const H = number('num_attention_heads');
  const KV = number('num_key_value_heads', H);
  const D = number('head_dim', C / H);
  const shapes: [string, number[]][] = [['model.embed_tokens.weight', [V, C]]];
  for (let layer = 0; layer < number('num_hidden_layers'); layer++) {
    const prefix = `model.layers.${layer}.`;
    const isOlmo = config.model_type === 'olmo2';
    const isGemma3 = config.model_type === 'gemma3_text';
    const hasBoth = isGemma3 || config.model_type === 'gemma2';
    shapes.push(
      [`${prefix}${isOlmo ? 'post_feedforward' : 'input'}_layernorm.weight`, [C]],
      [`${prefix}mlp.down_proj.weight`, [C, F]],
      [`${prefix}post_attention_layernorm.weight`, [C]],
      [`${prefix}self_attn.o_proj.weight`, [C, H * D]],
    );
    if (config.model_type === 'phi3') {
      shapes.push(
        [`${prefix}mlp.gate_up_proj.weight`, [2 * F, C]],
        [`${prefix}self_attn.qkv_proj.weight`, [(H + 2 * KV) * D, C]],
      );
    } else {
      shapes.push(
        [`${prefix}mlp.gate_proj.weight`, [F, C]],
        [`${prefix}mlp.up_proj.weight`, [F, C]],
        [`${prefix}self_attn.k_proj.weight`, [KV * D, C]],
        [`${prefix}self_attn.q_proj.weight`, [H * D, C]],
        [`${prefix}self_attn.v_proj.weight`, [KV * D, C]],
      );
    }
    if (hasBoth) {
      for (const place of ['pre', 'post']) shapes.push([`${prefix}${place}_feedforward_layernorm.weight`, [C]]);
    }
    if (config.model_type === 'qwen3' || isGemma3) {
      shapes.push([`${prefix}self_attn.k_norm.weight`, [D]], [`${prefix}self_attn.q_norm.weight`, [D]]);
    }
    if (isOlmo)
      shapes.push([`${prefix}self_attn.k_norm.weight`, [KV * D]], [`${prefix}self_attn.q_norm.weight`, [H * D]]);
    if (config.model_type === 'qwen2') {
      shapes.push(
        [`${prefix}self_attn.k_proj.bias`, [KV * D]],
        [`${prefix}self_attn.q_proj.bias`, [H * D]],
        [`${prefix}self_attn.v_proj.bias`, [KV * D]],
      );
    }
  }
  shapes.push(['model.norm.weight', [C]]);
  const isGemma = (config.model_type as string).startsWith('gemma');
  const isTied = config.tie_word_embeddings ?? (isGemma || config.model_type === 'smollm3');
  if (!isTied) shapes.unshift(['lm_head.weight', [V, C]]);
  const ones = isGemma ? 0 : 1; // there it is added to what is stored
  return new Map(
    shapes.map(([name, shape]) => {
      const random = new Random(1, name);
      const values = Float32Array.from({ length: sizeOf(shape) }, () =>
        name.endsWith('norm.weight') ? ones + 0.2 * random.normal() : 0.15 * random.normal(),
      );
      if (dtype === 'BF16') {
        const words = new Uint32Array(values.buffer);
        words.forEach((word, i) => {
          words[i] = word & 0xffff0000;
        });
      }
      return [name, { dtype, shape, bytes: packed(values, dtype) }];
    }),
  );
}

export interface Layout {
  readonly config: Json;
  readonly dtype: string;
  /** Files that the tensors are dealt out to; 1: model.safetensors. */
  readonly shards?: number;
  readonly files?: Readonly<Record<string, string>>;
}

/** Writes a checkpoint folder anew. @returns its tensors. */
export function writeCheckpoint(folder: string, { config, dtype, shards = 1, files = {} }: Layout) {
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const tensors = tensorsOf(config, dtype);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  if (shards === 1) writeFileSync(join(folder, 'model.safetensors'), safetensors(tensors));
  else writeShards(folder, tensors, shards);
  return tensors;
}

function writeShards(folder: string, tensors: ReadonlyMap<string, RawTensor>, shards: number): void {
  const map: Record<string, string> = {};
  for (let shard = 0; shard < shards; shard++) {
    const members = [...tensors].filter((_, i) => i % shards === shard);
    const file = `model-0000${shard + 1}-of-0000${shards}.safetensors`;
    for (const [name] of members) map[name] = file;
    writeFileSync(join(folder, file), safetensors(new Map(members)));
  }
  const total = [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.length, 0);
  const index = { metadata: { total_size: total }, weight_map: map };
  writeFileSync(join(folder, 'model.safetensors.index.json'), JSON.stringify(index));
}

const small = { vocab_size: 67, hidden_size: 48, intermediate_size: 80, num_hidden_layers: 2, hidden_act: 'silu' };

/** Fields as the checkpoints of these names have them, sizes apart. */
export const LAYOUTS: Readonly<Record<string, Layout>> = {
  'Llama 2, F16': {
    dtype: 'F16',
    config: {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      ...small,
      num_attention_heads: 4,
      num_key_value_heads: 4,
      max_position_embeddings: 4096,
      pretraining_tp: 1,
      rms_norm_eps: 1e-5,
      rope_scaling: null,
      tie_word_embeddings: false,
      torch_dtype: 'float16',
      bos_token_id: 1,
      eos_token_id: 2,
    },
  },
  'Llama 3.2, BF16, tied, grouped-query, llama3 scaling': {
    dtype: 'BF16',
    config: {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      ...small,
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 60,
      eos_token_id: [61, 62],
      head_dim: 16,
      mlp_bias: false,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      max_position_embeddings: 1024,
      rms_norm_eps: 1e-5,
      rope_theta: 500000.0,
      rope_scaling: {
        factor: 8.0,
        high_freq_factor: 4.0,
        low_freq_factor: 1.0,
        original_max_position_embeddings: 128,
        rope_type: 'llama3',
      },
      tie_word_embeddings: true,
      torch_dtype: 'bfloat16',
    },
  },
  'Llama of transformers 5 (rope_parameters), BF16, sharded': {
    dtype: 'BF16',
    shards: 3,
    config: {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      ...small,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      max_position_embeddings: 1024,
      rms_norm_eps: 1e-5,
      rope_parameters: {
        rope_theta: 10000.0,
        factor: 4.0,
        high_freq_factor: 4.0,
        low_freq_factor: 1.0,
        original_max_position_embeddings: 64,
        rope_type: 'llama3',
      },
      tie_word_embeddings: false,
      dtype: 'bfloat16',
    },
  },
  'Llama with linear scaling, F32': {
    dtype: 'F32',
    config: {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      ...small,
      num_attention_heads: 4,
      max_position_embeddings: 4096,
      rms_norm_eps: 1e-6,
      rope_scaling: { type: 'linear', factor: 2.5 },
      tie_word_embeddings: false,
      torch_dtype: 'float32',
    },
  },
  'Mistral, BF16, sharded, heads narrower than the model': {
    dtype: 'BF16',
    shards: 2,
    config: {
      architectures: ['MistralForCausalLM'],
      model_type: 'mistral',
      ...small,
      attention_dropout: 0.0,
      head_dim: 8,
      num_attention_heads: 4,
      num_key_value_heads: 1,
      max_position_embeddings: 1024,
      rms_norm_eps: 1e-5,
      rope_theta: 1000000.0,
      sliding_window: null,
      tie_word_embeddings: false,
      torch_dtype: 'bfloat16',
    },
  },
  'SmolLM, BF16, tied, 3 heads to 1': {
    dtype: 'BF16',
    config: {
      architectures: ['LlamaForCausalLM'],
      model_type: 'llama',
      ...small,
      attention_bias: false,
      is_llama_config: true,
      max_position_embeddings: 2048,
      num_attention_heads: 3,
      num_key_value_heads: 1,
      pretraining_tp: 1,
      rms_norm_eps: 1e-5,
      rope_interleaved: false,
      rope_scaling: null,
      rope_theta: 10000.0,
      tie_word_embeddings: true,
      torch_dtype: 'bfloat16',
      use_cache: true,
    },
  },
  'Qwen2.5, BF16, tied, 3 heads to 1, biases': {
    dtype: 'BF16',
    config: {
      architectures: ['Qwen2ForCausalLM'],
      model_type: 'qwen2',
      ...small,
      attention_dropout: 0.0,
      bos_token_id: 60,
      eos_token_id: 60,
      max_position_embeddings: 1024,
      max_window_layers: 1,
      num_attention_heads: 3,
      num_key_value_heads: 1,
      rms_norm_eps: 1e-6,
      rope_theta: 1000000.0,
      sliding_window: 64,
      tie_word_embeddings: true,
      torch_dtype: 'bfloat16',
      use_cache: true,
      use_mrope: false,
      use_sliding_window: false,
    },
  },
  'OLMo 2, F32, grouped-query, norms behind attention and MLP, and of the whole Q and K': {
    dtype: 'F32',
    config: {
      architectures: ['Olmo2ForCausalLM'],
      model_type: 'olmo2',
      ...small,
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 60,
      eos_token_id: 60,
      max_position_embeddings: 4096,
      num_attention_heads: 6,
      num_key_value_heads: 2,
      pad_token_id: 61,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 500000,
      tie_word_embeddings: false,
      torch_dtype: 'float32',
      use_cache: false,
    },
  },
  'SmolLM3, BF16, tied, grouped-query, a layer without rotary embedding': {
    dtype: 'BF16',
    config: {
      architectures: ['SmolLM3ForCausalLM'],
      model_type: 'smollm3',
      ...{ ...small, num_hidden_layers: 4 },
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: null,
      eos_token_id: 60,
      layer_types: Array(4).fill('full_attention'),
      max_position_embeddings: 1024,
      max_window_layers: 28,
      mlp_bias: false,
      no_rope_layer_interval: 4,
      no_rope_layers: [1, 1, 1, 0],
      num_attention_heads: 4,
      num_key_value_heads: 2,
      pad_token_id: 61,
      pretraining_tp: 2,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 5000000.0,
      sliding_window: null,
      torch_dtype: 'bfloat16',
      use_cache: false,
      use_sliding_window: false,
    },
  },
  'Gemma, BF16, tied, one key/value head, heads wider than the model': {
    dtype: 'BF16',
    config: {
      architectures: ['GemmaForCausalLM'],
      model_type: 'gemma',
      ...small,
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 2,
      eos_token_id: 1,
      head_dim: 16,
      hidden_act: 'gelu',
      hidden_activation: null,
      initializer_range: 0.02,
      max_position_embeddings: 8192,
      num_attention_heads: 4,
      num_key_value_heads: 1,
      pad_token_id: 0,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 10000.0,
      torch_dtype: 'bfloat16',
      use_cache: true,
    },
  },
  'Gemma 2, BF16, tied, grouped-query, soft caps, a layer within a window': {
    dtype: 'BF16',
    config: {
      architectures: ['Gemma2ForCausalLM'],
      model_type: 'gemma2',
      ...small,
      attention_bias: false,
      attention_dropout: 0.0,
      attn_logit_softcapping: 2.0,
      bos_token_id: 2,
      cache_implementation: 'hybrid',
      eos_token_id: 1,
      final_logit_softcapping: 3.0,
      head_dim: 16,
      hidden_act: 'gelu_pytorch_tanh',
      hidden_activation: 'gelu_pytorch_tanh',
      initializer_range: 0.02,
      max_position_embeddings: 1024,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      pad_token_id: 0,
      query_pre_attn_scalar: 24,
      rms_norm_eps: 1e-6,
      rope_theta: 10000.0,
      sliding_window: 64,
      torch_dtype: 'bfloat16',
      use_cache: true,
    },
  },
  'Gemma 3, BF16, tied, grouped-query, a layer within a window': {
    dtype: 'BF16',
    config: {
      architectures: ['Gemma3ForCausalLM'],
      model_type: 'gemma3_text',
      ...{ ...small, hidden_act: undefined },
      attention_bias: false,
      attention_dropout: 0.0,
      attn_logit_softcapping: null,
      bos_token_id: 2,
      cache_implementation: 'hybrid',
      eos_token_id: [1, 60],
      final_logit_softcapping: null,
      head_dim: 16,
      hidden_activation: 'gelu_pytorch_tanh',
      initializer_range: 0.02,
      max_position_embeddings: 1024,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      pad_token_id: 0,
      query_pre_attn_scalar: 24,
      rms_norm_eps: 1e-6,
      rope_local_base_freq: 10000,
      rope_scaling: null,
      rope_theta: 1000000,
      sliding_window: 512,
      sliding_window_pattern: 2,
      torch_dtype: 'bfloat16',
      use_cache: true,
    },
  },
  'Phi-3, BF16, sharded, grouped-query, fused projections, a window': {
    dtype: 'BF16',
    shards: 2,
    config: {
      architectures: ['Phi3ForCausalLM'],
      model_type: 'phi3',
      ...small,
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 1,
      embd_pdrop: 0.0,
      eos_token_id: 60,
      max_position_embeddings: 4096,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      original_max_position_embeddings: 4096,
      pad_token_id: 60,
      resid_pdrop: 0.0,
      rms_norm_eps: 1e-5,
      rope_scaling: null,
      rope_theta: 10000.0,
      sliding_window: 2047,
      tie_word_embeddings: false,
      torch_dtype: 'bfloat16',
      use_cache: true,
    },
  },
  'Qwen3, F16, grouped-query, heads wider than the model, norms of heads': {
    dtype: 'F16',
    config: {
      architectures: ['Qwen3ForCausalLM'],
      model_type: 'qwen3',
      ...small,
      attention_bias: false,
      attention_dropout: 0.0,
      bos_token_id: 60,
      eos_token_id: 61,
      head_dim: 16,
      layer_types: ['full_attention', 'full_attention'],
      max_position_embeddings: 1024,
      max_window_layers: 2,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      rms_norm_eps: 1e-6,
      rope_scaling: null,
      rope_theta: 1000000,
      sliding_window: null,
      tie_word_embeddings: false,
      torch_dtype: 'float16',
      use_cache: true,
      use_sliding_window: false,
    },
  },
};
