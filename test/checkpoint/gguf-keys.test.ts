/** The keys of GGUF files: what llama.cpp is told of a model and its tokenizer, and what it cannot be told. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { exportGguf } from '../../src/checkpoint/gguf.js';
import { type GgufValue, writeGguf } from '../../src/checkpoint/gguf-write.js';
import { openModel } from '../../src/checkpoint/model-folder.js';
import { GPT2_PATTERN } from '../../src/data/patterns.js';
import { OutputFile } from '../../src/durable.js';
import { exported, folderOf, LLAMA3, QWEN, readGguf, type TokenizerJson } from '../support/gguf.js';

const root = mkdtempSync(join(tmpdir(), 'babelgrad-gguf-keys-'));
afterAll(() => rmSync(root, { recursive: true }));

test('a LLaMA has the keys that llama.cpp needs, its tokenizer among them', async () => {
  const folder = await folderOf(root, 'Llama with linear scaling, F32', LLAMA3, json => {
    json.model.ignore_merges = true;
    const [content] = Object.entries(json.model.vocab as Record<string, number>).find(([, id]) => id === 7)!;
    json.added_tokens.push({ ...json.added_tokens[0], id: 7, special: false, content });
  });
  const { values } = await exported(root, folder, 'F16');
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
  const json = JSON.parse(readFileSync(join(folder, 'tokenizer.json'), 'utf8')) as TokenizerJson;
  const vocab = Object.entries(json.model.vocab as Record<string, number>).sort(([, a], [, b]) => a - b);
  const tokens = values['tokenizer.ggml.tokens'] as string[];
  expect(tokens.slice(0, 300)).toEqual(vocab.map(([token]) => token));
  expect(tokens.slice(300)).toEqual(['[PAD300]', '[PAD301]', '[PAD302]', '[PAD303]']);
  const kinds = values['tokenizer.ggml.token_type'] as number[];
  expect([kinds[0], kinds[1], kinds[7], kinds[299], kinds[300]]).toEqual([3, 1, 4, 1, 5]);
  const merges = (json.model.merges as [string, string][]).map(merge => merge.join(' '));
  expect(values['tokenizer.ggml.merges']).toEqual(merges);
});

test('ids that are no tokens are not said, as the -1 of some files of Llama 2', async () => {
  const folder = await folderOf(root, 'Llama with linear scaling, F32', LLAMA3, () => {});
  const path = join(folder, 'config.json');
  const config: unknown = JSON.parse(readFileSync(path, 'utf8'));
  writeFileSync(path, JSON.stringify({ ...(config as object), bos_token_id: 304, pad_token_id: -1 }));
  const { values } = await exported(root, folder, 'F16');
  expect(Object.keys(values)).toContain('tokenizer.ggml.eos_token_id');
  expect(Object.keys(values)).not.toContain('tokenizer.ggml.bos_token_id');
  expect(Object.keys(values)).not.toContain('tokenizer.ggml.padding_token_id');
});

test.each<[string, string | undefined, (json: TokenizerJson) => void, RegExp]>([
  ['the pattern of tokenizers trained here', undefined, () => {}, /splits a text by a pattern of its own/],
  [
    'merges that Qwen would not ignore',
    QWEN,
    json => Object.assign(json.model, { ignore_merges: true }),
    /its ignore_merges is true/,
  ],
  [
    'a normalizer',
    GPT2_PATTERN,
    json => Object.assign(json, { normalizer: { type: 'NFC' } }),
    /normalizes a text \(NFC/,
  ],
  [
    'parts that are between matches',
    LLAMA3,
    json => Object.assign((json.pre_tokenizer as { pretokenizers: object[] }).pretokenizers[0]!, { invert: true }),
    /splits a text in several ways/,
  ],
  ['no bytes', GPT2_PATTERN, json => Object.assign(json, { pre_tokenizer: null }), /it is no byte-level BPE/],
  [
    'byte fallback',
    GPT2_PATTERN,
    json => Object.assign(json.model, { byte_fallback: true }),
    /no tokens for some bytes/,
  ],
])('refuses %s, and writes nothing', async (_, pattern, edit, why) => {
  const folder = await folderOf(root, 'Llama 2, F16', pattern, edit);
  const out = join(root, 'refused');
  await expect(exportGguf(folder, out, { type: 'F16' })).rejects.toThrow(why);
  expect(existsSync(out)).toBe(false);
});

test.each([
  ['gemma3', 'Gemma 3, BF16, tied, grouped-query, a layer within a window', GPT2_PATTERN],
  ['qwen2', 'Qwen2.5, BF16, tied, 3 heads to 1, biases', GPT2_PATTERN],
])('refuses a %s with the scaling of Llama 3, which llama.cpp cannot load', async (family, layout, pattern) => {
  const folder = await folderOf(root, layout, pattern);
  const path = join(folder, 'config.json');
  const json = JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>;
  const lengths = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 64 };
  const scaled = { ...json, query_pre_attn_scalar: 16, rope_scaling: { rope_type: 'llama3', factor: 8, ...lengths } };
  writeFileSync(path, JSON.stringify(scaled));
  const out = join(root, 'refused');
  await expect(exportGguf(folder, out, { type: 'F16' })).rejects.toThrow(
    `llama.cpp scales a rotation by llama3 in a llama alone, and this is a ${family}; use --format hf`,
  );
  expect(existsSync(out)).toBe(false);
});

test('a model without a tokenizer is refused, and the folder has checksums and a card', async () => {
  const folder = await folderOf(root, 'Llama 2, F16', GPT2_PATTERN);
  const out = join(root, 'whole');
  await exportGguf(folder, out, { type: 'F16', card: 'card\n' });
  expect(readdirSync(out).sort()).toEqual(['README.md', 'SHA256SUMS', 'model.gguf']);
  rmSync(join(folder, 'tokenizer.json'));
  await expect(exportGguf(folder, join(root, 'none'), { type: 'F16' })).rejects.toThrow(/has no tokenizer\.json/);
});

test('a byte-level token that takes the blanks beside it away is noted', async () => {
  const folder = await folderOf(root, 'Llama 2, F16', GPT2_PATTERN, json => {
    Object.assign(json.added_tokens[0]!, { rstrip: true });
  });
  const notes: string[] = [];
  await exportGguf(folder, join(root, 'noted'), { type: 'F16', onNote: note => notes.push(note) });
  expect(notes).toEqual(["the token '<|endoftext|>' takes the blanks beside it away, and in llama.cpp it does not"]);
});

test.each([
  ['Isolated', false],
  ['Removed', true],
])('with the pattern of Llama 3 and merges that count, a tokenizer is one of GPT-4: %s', async (behavior, invert) => {
  const folder = await folderOf(root, 'Llama 2, F16', LLAMA3, json => {
    const { pretokenizers } = json.pre_tokenizer as { pretokenizers: object[] };
    Object.assign(pretokenizers[0]!, { behavior, invert });
  });
  const { values } = await exported(root, folder, 'F16');
  expect(values['tokenizer.ggml.pre']).toBe('dbrx');
});

test('a tokenizer may have as many entries as Llama 3 and Qwen have', () => {
  const path = join(root, 'large.gguf');
  const strings = Array.from({ length: 200_000 }, (_, i) => `token ${i}`);
  writeGguf(new OutputFile(path), new Map<string, GgufValue>([['tokens', { strings }]]), []);
  expect((readGguf(path).values.tokens as string[]).join() === strings.join()).toBe(true);
});
