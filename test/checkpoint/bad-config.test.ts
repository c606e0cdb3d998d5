/** A config.json or tokenizer.json that is damaged or not supported is refused by name, and nothing is written. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readModelConfig } from '../../src/checkpoint/hf-config.js';
import { checkModelFolder } from '../../src/checkpoint/model-folder.js';
import { untrainedBpe } from '../../src/data/bpe-file.js';
import { type Json, LAYOUTS } from '../support/checkpoints.js';
import { sharded, single, useCheckpoint } from '../support/damage.js';

const { folder, refusedUnread } = useCheckpoint();

describe('a tokenizer', () => {
  test('with more ids than the embedding has rows', async () => {
    writeFileSync(join(folder, 'tokenizer.json'), untrainedBpe());
    const added = JSON.parse(untrainedBpe()) as { added_tokens: Json[] };
    added.added_tokens.push({ ...added.added_tokens[0], id: 67, content: '<extra>', special: true });
    checkModelFolder(folder);
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(added));
    checkModelFolder(folder); // a special token needs no row, as that of pictures of a Gemma 3 without
    added.added_tokens[1]!.special = false;
    writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(added));
    await refusedUnread(/tokenizer.json' has the id 67 \("<extra>"\), and the embedding 67 rows/);
  });

  test('that is none', async () => {
    writeFileSync(join(folder, 'tokenizer.json'), '{"version": "1.0"}');
    await refusedUnread(/tokenizer.json' is not a tokenizer.json/);
  });
});

describe('config.json', () => {
  const llama = single.config;
  const mistral = sharded.config;
  const qwen2 = LAYOUTS['Qwen2.5, BF16, tied, 3 heads to 1, biases']!.config;
  const qwen3 = LAYOUTS['Qwen3, F16, grouped-query, heads wider than the model, norms of heads']!.config;
  const phi3 = LAYOUTS['Phi-3, BF16, sharded, grouped-query, fused projections, a window']!.config;
  const gemma = LAYOUTS['Gemma, BF16, tied, one key/value head, heads wider than the model']!.config;
  const gemma2 = LAYOUTS['Gemma 2, BF16, tied, grouped-query, soft caps, a layer within a window']!.config;
  const gemma3 = LAYOUTS['Gemma 3, BF16, tied, grouped-query, a layer within a window']!.config;
  const cases: [string, Json, RegExp][] = [
    [
      'no model_type',
      { ...llama, model_type: undefined },
      /model_type is missing: the types that can be read are llama/,
    ],
    ['another type', { ...llama, model_type: 'x' }, /model_type is "x": the types that can be read are llama/],
    ...(
      [
        ['gpt2', /learned positions, LayerNorm and MLPs without a gate/],
        ['gpt_neox', /LayerNorm, attention beside the MLP and MLPs without a gate/],
        ['falcon', /LayerNorm, attention beside the MLP/],
        ['bloom', /ALiBi positions/],
        ['mpt', /ALiBi positions/],
        ['gemma3', /pictures beside text \(its text model alone, of type gemma3_text, can be read\)/],
        ['mixtral', /mixtures of experts/],
        ['deepseek_v3', /latent attention and mixtures of experts/],
        ['exaone4', /layers within a window, and others without rotary embedding/],
      ] as const
    ).map(([type, why]): [string, Json, RegExp] => [
      `the type ${type}`,
      { ...llama, model_type: type },
      new RegExp(`model_type is "${type}": ${why.source}.* are not supported; the types that can be read are llama`),
    ]),
    ...['constructor', 'toString', '__proto__', 'hasOwnProperty'].map((name): [string, Json, RegExp] => [
      `a type named ${name}`,
      { ...llama, model_type: name },
      /model_type is ".*": the types that can be read are llama/,
    ]),
    [
      'more layers than lists can have',
      { ...llama, num_hidden_layers: 1e9 },
      /numHiddenLayers is 1000000000; .* 10000/,
    ],
    ['a vocabulary beyond u32', { ...llama, vocab_size: 2 ** 33 }, /vocabSize is 8589934592; .* 4294967296/],
    ['weights that nothing can hold', { ...llama, intermediate_size: 2 ** 50 }, /would take about .* bytes/],
    ['positions that nothing can hold', { ...llama, max_position_embeddings: 2 ** 52 }, /would take about .* bytes/],
    [
      'a classifier',
      { ...llama, architectures: ['LlamaForSequenceClassification'] },
      /architectures is \["LlamaForSeq/,
    ],
    ['a window of no tokens', { ...mistral, sliding_window: 0 }, /sliding_window is 0/],
    ['a window switched on', { ...qwen2, use_sliding_window: true }, /sliding_window is 64: with use_sliding_window/],
    [
      'layers with a window',
      { ...qwen2, layer_types: ['full_attention', 'sliding_attention'] },
      /layer_types.1 is "sliding_attention"/,
    ],
    ['biases of a Qwen3', { ...qwen3, attention_bias: true }, /attention_bias is true: biases .* of Qwen2 alone/],
    [
      'a window that its family cannot have',
      { ...llama, ...{ model_type: 'olmo2', architectures: ['Olmo2ForCausalLM'], sliding_window: 64 } },
      /config.json': model: slidingWindow is 64, which a model of type olmo2 does not have/,
    ],
    ['a soft cap of nothing', { ...gemma2, attn_logit_softcapping: 0 }, /attn_logit_softcapping is 0/],
    [
      'a soft cap beyond what f32 could hold',
      { ...gemma2, final_logit_softcapping: 1e38 },
      /config.json': model: finalLogitSoftcapping is 1e\+38; it must be a number from 0.001 to 1000000/,
    ],
    ['layers of a Gemma 2 within no window', { ...gemma2, sliding_window: null }, /sliding_window is null/],
    ['soft caps of scores', { ...gemma3, attn_logit_softcapping: 50 }, /attn_logit_softcapping is 50/],
    ['soft caps of logits', { ...gemma3, final_logit_softcapping: 30 }, /final_logit_softcapping is 30/],
    [
      'attention to both sides',
      { ...gemma3, use_bidirectional_attention: true },
      /use_bidirectional_attention is true/,
    ],
    ['exact GELU', { ...gemma3, hidden_activation: 'gelu' }, /hidden_activation is "gelu"/],
    ['exact GELU of a Gemma', { ...gemma, hidden_activation: 'gelu' }, /hidden_activation is "gelu"/],
    ['SiLU of a Gemma', { ...gemma, hidden_act: 'silu' }, /hidden_act is "silu"/],
    [
      'a window of a Gemma',
      { ...gemma, sliding_window: 64 },
      /config.json': model: slidingWindow is 64, which a model of type gemma does not have/,
    ],
    ['layers of no known type', { ...gemma3, layer_types: ['x', 'full_attention'] }, /layer_types.0 is "x"/],
    ['types of too few layers', { ...gemma3, layer_types: ['full_attention'] }, /there are 1 of them, and 2 layers/],
    [
      'layers within a window that follow no number',
      { ...gemma3, layer_types: ['full_attention', 'sliding_attention'] },
      /layer_types.1 is "sliding_attention": only every 1th layer/,
    ],
    [
      'another rotation of layers within a window',
      {
        ...gemma3,
        rope_parameters: { full_attention: {}, sliding_attention: { rope_type: 'linear', rope_theta: 1e4, factor: 2 } },
      },
      /rope_parameters.sliding_attention.rope_type is "linear"/,
    ],
    [
      'layers within no window',
      { ...gemma3, sliding_window: null },
      /sliding_window is null: there are layers of type/,
    ],
    [
      'two scalings',
      { ...llama, rope_scaling: { rope_type: 'linear', factor: 2 }, rope_parameters: { rope_type: 'default' } },
      /rope_scaling is .*: rope_parameters says something of it, too/,
    ],
    ['dropout of residuals', { ...phi3, resid_pdrop: 0.1 }, /resid_pdrop is 0.1/],
    [
      'LongRoPE',
      { ...phi3, rope_scaling: { type: 'longrope', long_factor: [1], short_factor: [1] } },
      /rope_scaling.type is "longrope": it has other frequencies for short sequences than for long ones/,
    ],
    ['LongRoPE by its old name', { ...phi3, rope_scaling: { type: 'su' } }, /rope_scaling.type is "su": it has other/],
    [
      'a scaling that its family cannot have',
      { ...phi3, rope_scaling: { type: 'linear', factor: 2 } },
      /config.json': model: ropeScaling is of type linear, which a Phi-3 \(fusedProjections\) cannot have/,
    ],
    ['YaRN', { ...llama, rope_scaling: { rope_type: 'yarn', factor: 4 } }, /rope_scaling.rope_type is "yarn"/],
    [
      'dynamic scaling',
      { ...llama, rope_scaling: { type: 'dynamic', factor: 2 } },
      /rope_scaling.rope_type is "dynamic"/,
    ],
    ['scaling without a factor', { ...llama, rope_scaling: { type: 'linear' } }, /rope_scaling.factor is missing/],
    ['scaling by nothing', { ...llama, rope_scaling: { type: 'linear', factor: 0 } }, /rope_scaling.factor is 0/],
    [
      'llama3 without its fields',
      { ...llama, rope_parameters: { rope_type: 'llama3', factor: 8, rope_theta: 1e4 } },
      /rope_parameters.low_freq_factor is missing: rope_type 'llama3' needs it/,
    ],
    [
      'llama3 with its bounds turned round',
      {
        ...llama,
        rope_scaling: {
          rope_type: 'llama3',
          factor: 8,
          low_freq_factor: 4,
          high_freq_factor: 1,
          original_max_position_embeddings: 64,
        },
      },
      /config.json': model: ropeScaling.highFreqFactor 1 is not above lowFreqFactor 4/,
    ],
    ['a partial rotation', { ...llama, partial_rotary_factor: 0.5 }, /partial_rotary_factor is 0.5/],
    ['interleaved rotation', { ...llama, rope_interleaved: true }, /rope_interleaved is true/],
    ['biases', { ...llama, attention_bias: true }, /attention_bias is true/],
    ['biases of the MLP', { ...llama, mlp_bias: true }, /mlp_bias is true/],
    ['dropout', { ...llama, attention_dropout: 0.1 }, /attention_dropout is 0.1/],
    ['another activation', { ...llama, hidden_act: 'gelu' }, /hidden_act is "gelu"/],
    [
      'quantized weights',
      { ...llama, quantization_config: { quant_method: 'gptq' } },
      /quantization_config is \{"quant_method":"gptq"\}/,
    ],
    ['a field missing', { ...llama, hidden_size: undefined }, /hidden_size is missing/],
    ['heads that do not divide', { ...llama, num_attention_heads: 5 }, /5 heads do not divide hidden_size 48/],
    [
      'heads that make no groups',
      { ...llama, num_attention_heads: 4, num_key_value_heads: 3 },
      /4 is not a multiple of numKeyValueHeads 3/,
    ],
  ];
  test.each(cases)('with %s is refused by field and value', async (_, config, message) => {
    writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
    expect(() => readModelConfig(folder)).toThrow(message);
    await refusedUnread(message);
  });

  test('that is missing, or not JSON', async () => {
    writeFileSync(join(folder, 'config.json'), '{');
    await refusedUnread(/config.json' is not JSON/);
    rmSync(join(folder, 'config.json'));
    await refusedUnread(/no file '.*config.json'/);
  });
});
