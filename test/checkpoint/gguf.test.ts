/** GGUF files of models: their tensors, and what they compute. */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { exportGguf } from '../../src/checkpoint/gguf.js';
import { openModel } from '../../src/checkpoint/model-folder.js';
import { GPT2_PATTERN } from '../../src/data/patterns.js';
import { parameterSpecs } from '../../src/model/parameters.js';
import { ropeFrequencies } from '../../src/ops/rope.js';
import { LAYOUTS, writeCheckpoint } from '../support/checkpoints.js';
import { exported, folderOf, LLAMA3, QWEN } from '../support/gguf.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-gguf-'));
afterAll(() => rmSync(root, { recursive: true }));

/** The product of a head's query and key after rotation by their positions; `pair` gives the places of a pair. */
function score(
  q: number[],
  k: number[],
  [t, s]: [number, number],
  frequencies: Float64Array,
  pair: (i: number) => [number, number],
) {
  // prettier-ignore
  const rotated = (x: number[], position: number) => {
    const y = [...x];
    frequencies.forEach((frequency, i) => {
      const [a, b] = pair(i);
      const [cos, sin] = [Math.cos(position * frequency), Math.sin(position * frequency)];
      y[a] = x[a]! * cos - x[b]! * sin;
      y[b] = x[a]! * sin + x[b]! * cos;
    });
    return y;
  };
  const [left, right] = [rotated(q, t), rotated(k, s)];
  return left.reduce((sum, value, i) => sum + value * right[i]!, 0);
}

describe('a LLaMA', () => {
  test.each(['F32', 'F16', 'BF16'] as const)('has every tensor, in %s, norms in f32', async type => {
    const folder = await folderOf(root, 'Llama 2, F16', GPT2_PATTERN);
    const { tensors, values } = await exported(root, folder, type);
    expect(values['tokenizer.ggml.pre']).toBe('gpt-2');
    const { config, weights } = openModel(folder);
    const specs = parameterSpecs(config);
    expect(tensors.size).toBe(specs.length);
    const names: Record<string, string> = {
      'model.embed_tokens.weight': 'token_embd.weight',
      'lm_head.weight': 'output.weight',
      'model.norm.weight': 'output_norm.weight',
      'model.layers.1.mlp.down_proj.weight': 'blk.1.ffn_down.weight',
      'model.layers.0.self_attn.v_proj.weight': 'blk.0.attn_v.weight',
      'model.layers.1.post_attention_layernorm.weight': 'blk.1.ffn_norm.weight',
    };
    const tolerance = { F32: 0, F16: 0, BF16: 2 ** -8 }[type]; // the weights are halves
    for (const spec of specs) {
      const name = names[spec.name];
      if (name === undefined) continue;
      const { shape, type: stored, values: found } = tensors.get(name)!;
      expect(shape).toEqual(spec.shape);
      expect(stored, name).toBe(spec.shape.length === 1 ? 0 : { F32: 0, F16: 1, BF16: 30 }[type]);
      const expected = weights.read(spec);
      const worst = expected.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - found[i]!) / Math.abs(value)),
        0,
      );
      expect(worst, name).toBeLessThanOrEqual(tolerance);
    }
    weights.close();
  });

  test('with neighbours rotated as pairs, and divided frequencies, scores as the half-split rotation does', async () => {
    const folder = await folderOf(root, 'Llama 3.2, BF16, tied, grouped-query, llama3 scaling', LLAMA3, json => {
      json.model.ignore_merges = true;
    });
    const { tensors } = await exported(root, folder, 'F32');
    expect(tensors.has('output.weight'), 'a tied head is not written').toBe(false);
    const { config, weights } = openModel(folder);
    const { hiddenSize: C, headDim: D, numAttentionHeads: H, numKeyValueHeads: KV } = config;
    const x = Array.from({ length: C }, (_, i) => Math.sin(i + 1));
    const spec = (name: string) => parameterSpecs(config).find(each => each.name === name)!;
    const head = (values: Float32Array, h: number) =>
      Array.from({ length: D }, (_, d) => x.reduce((sum, value, c) => sum + value * values[(h * D + d) * C + c]!, 0));
    const factors = tensors.get('rope_freqs.weight')!.values;
    expect(new Set(factors).size, 'some are divided, others not').toBeGreaterThan(1);
    const divided = Float64Array.from(ropeFrequencies(D, config.ropeTheta), (frequency, i) => frequency / factors[i]!);
    const scaled = ropeFrequencies(D, config.ropeTheta, config.ropeScaling);
    for (let h = 0; h < H; h++) {
      const kv = Math.floor((h * KV) / H);
      const half = score(
        head(weights.read(spec('model.layers.1.self_attn.q_proj.weight')), h),
        head(weights.read(spec('model.layers.1.self_attn.k_proj.weight')), kv),
        [90, 3],
        scaled,
        i => [i, i + D / 2],
      );
      const pairs = score(
        head(tensors.get('blk.1.attn_q.weight')!.values, h),
        head(tensors.get('blk.1.attn_k.weight')!.values, kv),
        [90, 3],
        divided,
        i => [2 * i, 2 * i + 1],
      );
      expect(pairs).toBeCloseTo(half, 4);
    }
    weights.close();
  });
});

test.each([
  ['qwen2', ['blk.0.attn_q.bias', 'blk.0.attn_k.bias', 'blk.0.attn_v.bias']],
  ['qwen3', ['blk.0.attn_q_norm.weight', 'blk.0.attn_k_norm.weight']],
])('a %s has its own tensors, and Q and K as they are', async (architecture, own) => {
  const layout = Object.keys(LAYOUTS).find(name => LAYOUTS[name]!.config.model_type === architecture)!;
  const folder = await folderOf(root, layout, QWEN, json => {
    json.normalizer = { type: 'NFC' };
  });
  const { values, tensors } = await exported(root, folder, 'F32');
  expect(values).toMatchObject({ 'general.architecture': architecture, 'tokenizer.ggml.pre': 'qwen2' });
  for (const name of own) expect(tensors.get(name)!.type, name).toBe(0);
  const { config, weights } = openModel(folder);
  for (const kind of ['q', 'k']) {
    const spec = parameterSpecs(config).find(({ name }) => name === `model.layers.0.self_attn.${kind}_proj.weight`)!;
    expect(tensors.get(`blk.0.attn_${kind}.weight`)!.values).toEqual(weights.read(spec));
  }
  weights.close();
});

test('an OLMo 2 has its norms by the names of what they stand behind, and Q and K as they are', async () => {
  const layout = 'OLMo 2, F32, grouped-query, norms behind attention and MLP, and of the whole Q and K';
  const folder = await folderOf(root, layout, GPT2_PATTERN);
  const { values, tensors } = await exported(root, folder, 'F32');
  expect(values).toMatchObject({ 'general.architecture': 'olmo2', 'olmo2.rope.freq_base': 500_000 });
  const { config, weights } = openModel(folder);
  const names = {
    ...{ 'self_attn.q_proj': 'attn_q', 'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm' },
    ...{ post_attention_layernorm: 'post_attention_norm', post_feedforward_layernorm: 'post_ffw_norm' },
  };
  for (const [own, theirs] of Object.entries(names)) {
    const spec = parameterSpecs(config).find(({ name }) => name === `model.layers.1.${own}.weight`)!;
    expect(tensors.get(`blk.1.${theirs}.weight`)!.values, own).toEqual(weights.read(spec));
  }
  expect(tensors.size).toBe(parameterSpecs(config).length);
  weights.close();
});

test('an OLMo 2 whose head is tied has the embedding twice', async () => {
  const layout = 'OLMo 2, F32, grouped-query, norms behind attention and MLP, and of the whole Q and K';
  const folder = await folderOf(root, layout, GPT2_PATTERN);
  const path = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...config, tie_word_embeddings: true }));
  const file = join(folder, 'model.safetensors');
  const bytes = readFileSync(file);
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, begin)) as Record<string, { data_offsets: [number, number] }>;
  const [from, to] = header['model.embed_tokens.weight']!.data_offsets;
  bytes.copy(bytes, begin + header['lm_head.weight']!.data_offsets[0], begin + from, begin + to);
  writeFileSync(file, bytes);
  const { tensors } = await exported(root, folder, 'F32');
  expect(tensors.get('output.weight')).toMatchObject({ values: tensors.get('token_embd.weight')!.values });
});

test('a SmolLM3 has the name that llama.cpp knows it by, and Q and K by pairs as a llama', async () => {
  const folder = await folderOf(root, 'SmolLM3, BF16, tied, grouped-query, a layer without rotary embedding', LLAMA3);
  const { values, tensors } = await exported(root, folder, 'F32');
  expect(values).toMatchObject({ 'general.architecture': 'smollm3', 'smollm3.rope.freq_base': 5_000_000 });
  const { config, weights } = openModel(folder);
  const spec = parameterSpecs(config).find(({ name }) => name === 'model.layers.3.self_attn.q_proj.weight')!;
  const [stored, { values: written }] = [weights.read(spec), tensors.get('blk.3.attn_q.weight')!];
  weights.close();
  // the second row of a head is the one half a head further on, of 12
  expect(written.slice(config.hiddenSize, 2 * config.hiddenSize)).toEqual(
    stored.slice(6 * config.hiddenSize, 7 * config.hiddenSize),
  );
  const path = join(folder, 'config.json');
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...json, no_rope_layers: [1, 0, 1, 0], no_rope_layer_interval: 2 }));
  await expect(exportGguf(folder, join(root, 'never'), { type: 'F32' })).rejects.toThrow(
    /leaves each 4th layer of a SmolLM3 without rotary embedding, and here nopeLayerInterval is 2; use --format hf/,
  );
});

test('a Gemma has norms with the 1 that is added to them, and its embedding for a head', async () => {
  const layout = 'Gemma, BF16, tied, one key/value head, heads wider than the model';
  const folder = await folderOf(root, layout, GPT2_PATTERN);
  const { values, tensors } = await exported(root, folder, 'BF16');
  expect(values).toMatchObject({
    ...{ 'general.architecture': 'gemma', 'gemma.context_length': 8192, 'gemma.attention.key_length': 16 },
  });
  const { config, weights } = openModel(folder);
  for (const [own, theirs] of [
    ['input_layernorm', 'attn_norm'],
    ['post_attention_layernorm', 'ffn_norm'],
  ]) {
    const spec = parameterSpecs(config).find(({ name }) => name === `model.layers.1.${own}.weight`)!;
    const stored = weights.read(spec).map(value => 1 + value);
    expect(tensors.get(`blk.1.${theirs}.weight`), own).toMatchObject({ type: 0, values: stored });
  }
  expect(tensors.size).toBe(parameterSpecs(config).length);
  weights.close();
  const untied = await folderOf(root, layout, GPT2_PATTERN, () => {}, { tie_word_embeddings: false });
  await expect(exportGguf(untied, join(root, 'never'), { type: 'F32' })).rejects.toThrow(
    /takes the embedding of a gemma for its head, and here tieWordEmbeddings is false; use --format hf/,
  );
});

test('a Gemma 2 has its caps, its window, and norms behind attention and MLP', async () => {
  const layout = 'Gemma 2, BF16, tied, grouped-query, soft caps, a layer within a window';
  const folder = await folderOf(root, layout, GPT2_PATTERN, () => {}, { query_pre_attn_scalar: 16 });
  const { values, tensors } = await exported(root, folder, 'BF16');
  expect(values).toMatchObject({
    ...{ 'general.architecture': 'gemma2', 'gemma2.context_length': 1024, 'gemma2.attention.sliding_window': 64 },
    ...{ 'gemma2.attention.sliding_window_pattern': 2, 'gemma2.attn_logit_softcapping': 2 },
    'gemma2.final_logit_softcapping': 3,
  });
  expect('gemma2.rope.freq_base_swa' in values).toBe(false);
  const { config, weights } = openModel(folder);
  const norms = {
    ...{ input_layernorm: 'attn_norm', post_attention_layernorm: 'post_attention_norm' },
    ...{ pre_feedforward_layernorm: 'ffn_norm', post_feedforward_layernorm: 'post_ffw_norm' },
  };
  for (const [own, theirs] of Object.entries(norms)) {
    const spec = parameterSpecs(config).find(({ name }) => name === `model.layers.1.${own}.weight`)!;
    const stored = weights.read(spec).map(value => 1 + value);
    expect(tensors.get(`blk.1.${theirs}.weight`), own).toMatchObject({ type: 0, values: stored });
  }
  expect(tensors.size).toBe(parameterSpecs(config).length);
  weights.close();
});

test.each([
  ['another factor of scores', { query_pre_attn_scalar: 24 }, /Gemma 2 of 2 layers by the root of 16, and here/],
  ['the factor of the 27B in fewer layers', { query_pre_attn_scalar: 12 }, /Gemma 2 of 2 layers by the root of 16/],
  ['no cap of scores', { attn_logit_softcapping: null }, /caps scores and logits of every Gemma 2, and here one/],
  ['no cap of logits', { final_logit_softcapping: null }, /caps scores and logits of every Gemma 2, and here one/],
  ['a head of its own', { tie_word_embeddings: false }, /takes the embedding of a gemma2 for its head/],
])('a Gemma 2 of which llama.cpp would compute something else is refused: %s', async (_, changes, message) => {
  const layout = 'Gemma 2, BF16, tied, grouped-query, soft caps, a layer within a window';
  const folder = await folderOf(root, layout, GPT2_PATTERN, () => {}, { query_pre_attn_scalar: 16, ...changes });
  await expect(exportGguf(folder, join(root, 'never'), { type: 'F32' })).rejects.toThrow(message);
});

test('a Gemma 2 without a window has one of all its positions', async () => {
  const layout = 'Gemma 2, BF16, tied, grouped-query, soft caps, a layer within a window';
  const changes = { query_pre_attn_scalar: 16, layer_types: ['full_attention', 'full_attention'] };
  const { values } = await exported(root, await folderOf(root, layout, GPT2_PATTERN, () => {}, changes), 'F32');
  expect(values).toMatchObject({ 'gemma2.attention.sliding_window': 1024 });
});

const GEMMA = 'Gemma 3, BF16, tied, grouped-query, a layer within a window';

test('a Gemma 3 has its window, and norms with the 1 that is added to them', async () => {
  const folder = await folderOf(root, GEMMA, GPT2_PATTERN);
  const path = join(folder, 'config.json');
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  await expect(exportGguf(folder, join(root, 'never'), { type: 'F32' })).rejects.toThrow(
    /scores of a Gemma 3 of 2 layers by the root of 16, and here queryPreAttnScalar is 24; use --format hf/,
  );
  writeFileSync(path, JSON.stringify({ ...json, query_pre_attn_scalar: 16 }));
  const { values, tensors } = await exported(root, folder, 'BF16');
  expect(values).toMatchObject({
    ...{ 'general.architecture': 'gemma3', 'gemma3.context_length': 1024, 'gemma3.rope.freq_base': 1_000_000 },
    ...{ 'gemma3.attention.sliding_window': 512, 'gemma3.attention.sliding_window_pattern': 2 },
    'gemma3.rope.freq_base_swa': 10_000,
  });
  const { config, weights } = openModel(folder);
  const spec = (name: string) => parameterSpecs(config).find(each => each.name === `model.layers.1.${name}.weight`)!;
  const norms = {
    ...{ input_layernorm: 'attn_norm', post_attention_layernorm: 'post_attention_norm' },
    ...{ pre_feedforward_layernorm: 'ffn_norm', post_feedforward_layernorm: 'post_ffw_norm' },
    ...{ 'self_attn.q_norm': 'attn_q_norm', 'self_attn.k_norm': 'attn_k_norm' },
  };
  for (const [own, theirs] of Object.entries(norms)) {
    const stored = weights.read(spec(own)).map(value => 1 + value);
    expect(tensors.get(`blk.1.${theirs}.weight`), own).toMatchObject({ type: 0, values: stored });
  }
  const query = weights.read(spec('self_attn.q_proj'));
  expect(tensors.get('blk.1.attn_q.weight')).toMatchObject({ type: 30, values: query });
  expect(tensors.size).toBe(parameterSpecs(config).length);
  weights.close();
  writeFileSync(path, JSON.stringify({ ...json, query_pre_attn_scalar: 16, sliding_window_pattern: 1 }));
  await expect(exportGguf(folder, join(root, 'never'), { type: 'F32' })).rejects.toThrow(
    /takes a Gemma 3 without a sliding window for one with soft caps; use --format hf/,
  );
});

test('a Phi-3 has its matrices as they are, and says where its window ends', async () => {
  const layout = 'Phi-3, BF16, sharded, grouped-query, fused projections, a window';
  const folder = await folderOf(root, layout, GPT2_PATTERN);
  const { values, tensors } = await exported(root, folder, 'BF16');
  expect(values).toMatchObject({
    ...{ 'general.architecture': 'phi3', 'phi3.context_length': 2047, 'phi3.attention.sliding_window': 2047 },
    'phi3.rope.scaling.original_context_length': 4096,
  });
  const { config, weights } = openModel(folder);
  const names = { 'self_attn.qkv_proj': 'attn_qkv', 'mlp.gate_up_proj': 'ffn_up', 'mlp.down_proj': 'ffn_down' };
  for (const [own, theirs] of Object.entries(names)) {
    const spec = parameterSpecs(config).find(({ name }) => name === `model.layers.1.${own}.weight`)!;
    const { shape, values } = tensors.get(`blk.1.${theirs}.weight`)!;
    expect(shape).toEqual(spec.shape);
    expect(values, own).toEqual(weights.read(spec));
  }
  expect(tensors.size).toBe(parameterSpecs(config).length);
  weights.close();
});

test.each(['qwen2', 'olmo2', 'phi3'])('a %s whose heads are not as wide as the model is refused', async family => {
  const [name, layout] = Object.entries(LAYOUTS).find(([, { config }]) => config.model_type === family)!;
  const folder = await folderOf(root, name, family === 'qwen2' ? QWEN : GPT2_PATTERN);
  const config = { ...layout.config, vocab_size: 304, bos_token_id: null, eos_token_id: 0, pad_token_id: null };
  writeCheckpoint(join(folder, 'wide'), { ...layout, config: { ...config, head_dim: 24 } });
  copyFileSync(join(folder, 'tokenizer.json'), join(folder, 'wide', 'tokenizer.json'));
  await expect(exported(root, join(folder, 'wide'), 'F32')).rejects.toThrow(/wants numAttentionHeads\*headDim of a/);
});
