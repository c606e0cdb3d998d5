/** GGUF files, by a reader that is written here from the format's description, and by what their tensors compute. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { exportGguf } from '../../src/checkpoint/gguf.js';
import { openModel } from '../../src/checkpoint/model-folder.js';
import { GPT2_PATTERN } from '../../src/data/patterns.js';
import { trainTokenizer } from '../../src/data/tokenizer-train.js';
import { floatsOfHalves } from '../../src/half.js';
import { parameterSpecs } from '../../src/model/config.js';
import { ropeFrequencies } from '../../src/ops/rope.js';
import { LAYOUTS, writeCheckpoint } from '../support/checkpoints.js';
import { sampleText } from '../support/text.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-gguf-'));
afterAll(() => rmSync(root, { recursive: true }));

const LLAMA3 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const QWEN = LLAMA3.replace('{1,3}', '');

type Json = Record<string, unknown> & { model: Record<string, unknown>; added_tokens: Record<string, unknown>[] };

/** A model folder with a tokenizer of 300 entries for a model of 304, edited. */
async function folderOf(layout: string, pattern: string | undefined, edit: (tokenizer: Json) => void = () => {}) {
  const folder = mkdtempSync(join(root, 'model-'));
  const { config, ...rest } = LAYOUTS[layout]!;
  const own = { ...config, vocab_size: 304, bos_token_id: null, eos_token_id: 0, pad_token_id: null };
  writeCheckpoint(folder, { ...rest, config: own });
  const text = join(root, 'text.txt');
  writeFileSync(text, sampleText(0, 6000));
  const path = join(folder, 'tokenizer.json');
  await trainTokenizer([text], { vocabSize: 300, out: path, ...(pattern !== undefined && { pattern }) });
  const json = JSON.parse(readFileSync(path, 'utf8')) as Json;
  edit(json);
  writeFileSync(path, JSON.stringify(json));
  return folder;
}

interface Read {
  readonly values: Record<string, unknown>;
  readonly tensors: Map<string, { shape: number[]; type: number; values: Float32Array }>;
}

function readGguf(path: string): Read {
  const bytes = readFileSync(path);
  let at = 0;
  const take = (length: number) => {
    at += length;
    return bytes.subarray(at - length, at);
  };
  const u32 = () => take(4).readUInt32LE();
  const u64 = () => Number(take(8).readBigUInt64LE());
  const text = () => take(u64()).toString();
  const value = (type: number): unknown => {
    if (type === 4) return u32();
    if (type === 5) return take(4).readInt32LE();
    if (type === 6) return take(4).readFloatLE();
    if (type === 7) return take(1)[0] === 1;
    if (type === 8) return text();
    if (type !== 9) throw new Error(`a value of type ${type}`);
    const inner = u32();
    return Array.from({ length: u64() }, () => value(inner));
  };
  expect([bytes.subarray(0, 4).toString(), bytes.readUInt32LE(4)]).toEqual(['GGUF', 3]);
  at = 8;
  const [tensorCount, valueCount] = [u64(), u64()];
  const values = Object.fromEntries(Array.from({ length: valueCount }, () => [text(), value(u32())]));
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64).reverse();
    return { name, shape, type: u32(), offset: u64() };
  });
  const start = Math.ceil(at / 32) * 32;
  let end = 0;
  const tensors = new Map(
    infos.map(({ name, shape, type, offset }) => {
      expect(offset % 32, name).toBe(0);
      expect(offset, name).toBe(Math.ceil(end / 32) * 32);
      const count = shape.reduce((a, b) => a * b, 1);
      const width = type === 0 ? 4 : 2;
      end = offset + count * width;
      const data = new Uint8Array(bytes.subarray(start + offset, start + end)).buffer;
      const wide = () => new Float32Array(Uint32Array.from(new Uint16Array(data), word => word << 16).buffer);
      const floats = { 0: () => new Float32Array(data), 1: () => floatsOfHalves(data), 30: wide }[type]!();
      return [name, { shape, type, values: Float32Array.from(floats) }] as const;
    }),
  );
  expect(bytes.length).toBe(start + Math.ceil(end / 32) * 32);
  return { values, tensors };
}

async function exported(folder: string, type: 'F32' | 'F16' | 'BF16'): Promise<Read> {
  const out = join(mkdtempSync(join(root, 'out-')), 'gguf');
  const { weights, bytes } = await exportGguf(folder, out, { type });
  expect(weights).toEqual(['model.gguf']);
  const read = readGguf(join(out, 'model.gguf'));
  const stored = [...read.tensors.values()].reduce((sum, t) => sum + t.values.length * (t.type === 0 ? 4 : 2), 0);
  expect(bytes).toBe(stored);
  return read;
}

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
  test('has the keys that llama.cpp needs, its tokenizer among them', async () => {
    const folder = await folderOf('Llama with linear scaling, F32', LLAMA3, json => {
      json.model.ignore_merges = true;
      const [content] = Object.entries(json.model.vocab as Record<string, number>).find(([, id]) => id === 7)!;
      json.added_tokens.push({ ...json.added_tokens[0], id: 7, special: false, content });
    });
    const { values } = await exported(folder, 'F16');
    const { config } = openModel(folder);
    expect(values).toMatchObject({
      'general.architecture': 'llama',
      'general.name': 'gguf',
      'general.file_type': 1,
      'llama.context_length': config.maxPositionEmbeddings,
      'llama.embedding_length': config.hiddenSize,
      'llama.block_count': config.numHiddenLayers,
      'llama.feed_forward_length': config.intermediateSize,
      'llama.attention.head_count': config.numAttentionHeads,
      'llama.attention.head_count_kv': config.numKeyValueHeads,
      'llama.attention.layer_norm_rms_epsilon': Math.fround(config.rmsNormEps),
      'llama.rope.freq_base': config.ropeTheta,
      'llama.rope.dimension_count': config.headDim,
      'llama.rope.scaling.type': 'linear',
      'llama.vocab_size': 304,
      'tokenizer.ggml.model': 'gpt2',
      'tokenizer.ggml.pre': 'llama-bpe',
      'tokenizer.ggml.eos_token_id': 0,
      'tokenizer.ggml.add_bos_token': false,
    });
    const json = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as Json;
    const vocab = Object.entries(json.model.vocab as Record<string, number>).sort(([, a], [, b]) => a - b);
    const tokens = values['tokenizer.ggml.tokens'] as string[];
    expect(tokens.slice(0, 300)).toEqual(vocab.map(([token]) => token));
    expect(tokens.slice(300)).toEqual(['[PAD300]', '[PAD301]', '[PAD302]', '[PAD303]']);
    const kinds = values['tokenizer.ggml.token_type'] as number[];
    expect([kinds[0], kinds[1], kinds[7], kinds[299], kinds[300]]).toEqual([3, 1, 4, 1, 5]);
    const merges = (json.model.merges as [string, string][]).map(merge => merge.join(' '));
    expect(values['tokenizer.ggml.merges']).toEqual(merges);
  });

  test.each(['F32', 'F16', 'BF16'] as const)('has every tensor, in %s, norms in f32', async type => {
    const folder = await folderOf('Llama 2, F16', GPT2_PATTERN);
    const { tensors, values } = await exported(folder, type);
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
    const folder = await folderOf('Llama 3.2, BF16, tied, grouped-query, llama3 scaling', LLAMA3, json => {
      json.model.ignore_merges = true;
    });
    const { tensors } = await exported(folder, 'F32');
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
  const folder = await folderOf(layout, QWEN, json => {
    json.normalizer = { type: 'NFC' };
  });
  const { values, tensors } = await exported(folder, 'F32');
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
  const folder = await folderOf(layout, GPT2_PATTERN);
  const { values, tensors } = await exported(folder, 'F32');
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
  const folder = await folderOf(layout, GPT2_PATTERN);
  const path = join(folder, 'config.json');
  const config = JSON.parse(readFileSync(path, 'utf8')) as Json;
  writeFileSync(path, JSON.stringify({ ...config, tie_word_embeddings: true }));
  const file = join(folder, 'model.safetensors');
  const bytes = readFileSync(file);
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, begin)) as Record<string, { data_offsets: [number, number] }>;
  const [from, to] = header['model.embed_tokens.weight']!.data_offsets;
  bytes.copy(bytes, begin + header['lm_head.weight']!.data_offsets[0], begin + from, begin + to);
  writeFileSync(file, bytes);
  const { tensors } = await exported(folder, 'F32');
  expect(tensors.get('output.weight')).toMatchObject({ values: tensors.get('token_embd.weight')!.values });
});

const GEMMA = 'Gemma 3, BF16, tied, grouped-query, a layer within a window';

test('a Gemma 3 has its window, and norms with the 1 that is added to them', async () => {
  const folder = await folderOf(GEMMA, GPT2_PATTERN);
  const path = join(folder, 'config.json');
  const json = JSON.parse(readFileSync(path, 'utf8')) as Json;
  await expect(exportGguf(folder, join(root, 'never'), { type: 'F32' })).rejects.toThrow(
    /scores of a Gemma 3 of 2 layers by the root of 16, and here queryPreAttnScalar is 24; use --format hf/,
  );
  writeFileSync(path, JSON.stringify({ ...json, query_pre_attn_scalar: 16 }));
  const { values, tensors } = await exported(folder, 'BF16');
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
  const folder = await folderOf(layout, GPT2_PATTERN);
  const { values, tensors } = await exported(folder, 'BF16');
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

test.each<[string, string | undefined, (json: Json) => void, RegExp]>([
  ['the pattern of tokenizers trained here', undefined, () => {}, /splits a text by a pattern of its own/],
  ['merges that Llama 3 would ignore', LLAMA3, () => {}, /its ignore_merges is false/],
  [
    'a normalizer',
    GPT2_PATTERN,
    json => Object.assign(json, { normalizer: { type: 'NFC' } }),
    /normalizes a text \(NFC/,
  ],
  ['no bytes', GPT2_PATTERN, json => Object.assign(json, { pre_tokenizer: null }), /it is no byte-level BPE/],
  ['byte fallback', GPT2_PATTERN, json => Object.assign(json.model, { byte_fallback: true }), /no byte-level BPE/],
])('refuses %s, and writes nothing', async (_, pattern, edit, why) => {
  const folder = await folderOf('Llama 2, F16', pattern, edit);
  const out = join(root, 'refused');
  await expect(exportGguf(folder, out, { type: 'F16' })).rejects.toThrow(why);
  expect(existsSync(out)).toBe(false);
});

test('a model without a tokenizer is refused, and the folder has checksums and a card', async () => {
  const folder = await folderOf('Llama 2, F16', GPT2_PATTERN);
  const out = join(root, 'whole');
  await exportGguf(folder, out, { type: 'F16', card: 'card\n' });
  expect(readdirSync(out).sort()).toEqual(['README.md', 'SHA256SUMS', 'model.gguf']);
  rmSync(join(folder, 'tokenizer.json'));
  await expect(exportGguf(folder, join(root, 'none'), { type: 'F16' })).rejects.toThrow(/has no tokenizer\.json/);
});
