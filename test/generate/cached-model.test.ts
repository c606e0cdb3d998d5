/**
 * Logits with the cache are those without it, at every position: to the same bits in the kernels that a software
 * adapter takes, and to rounding in those of hardware, where a product of few rows is added up in another order.
 */
import { describe, expect, test } from 'vitest';
import { CachedModel, createModel, logits, type ModelConfig, type Precision } from '../../src/index.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { traitsOf } from '../../src/model/families.js';
import { gamma } from '../../src/numerics/bounds.js';
import { Random } from '../../src/random.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { disturbVectors } from '../support/vectors.js';

const context = useDevice();

const base = smallModel({
  vocabSize: 67,
  hiddenSize: 48,
  intermediateSize: 50,
  numAttentionHeads: 4,
  tieWordEmbeddings: false,
  maxPositionEmbeddings: 1024,
});

interface Sequences {
  readonly config: ModelConfig;
  /** Tokens of each sequence's prompt. */
  readonly prompts: readonly number[];
  /** Tokens that follow. */
  readonly more: number;
}

const cases: Record<string, Sequences> = {
  'one sequence from its first token on': { config: base, prompts: [1], more: 40 },
  'grouped-query heads, prompts of different lengths': {
    config: { ...base, numKeyValueHeads: 2, hiddenSize: 37, tieWordEmbeddings: true },
    prompts: [5, 1, 17, 16, 9],
    more: 24,
  },
  'one key/value head of 80, prompts of 250 tokens and 590, beyond tiles of 128 keys': {
    config: { ...base, numHiddenLayers: 1, numAttentionHeads: 3, numKeyValueHeads: 1, headDim: 80 },
    prompts: [250, 590],
    more: 12,
  },
  'biases of Q, K, V': {
    config: { ...base, numKeyValueHeads: 2, qkvBias: true },
    prompts: [5, 1, 17, 16, 9],
    more: 12,
  },
  'fused projections': {
    config: { ...base, numKeyValueHeads: 2, fusedProjections: true },
    prompts: [5, 1, 17, 16, 9],
    more: 12,
  },
  'norms behind attention and MLP, and of the whole Q and K': {
    config: {
      ...base,
      numKeyValueHeads: 2,
      headDim: 16,
      qkNorm: true,
      qkNormOver: 'projection',
      normPlacement: 'after',
    },
    prompts: [5, 1, 17, 16, 9],
    more: 12,
  },
  'a Gemma 2': {
    config: {
      ...{ ...base, ...traitsOf('gemma2'), numKeyValueHeads: 2, headDim: 16, tieWordEmbeddings: true },
      ...{ slidingWindow: 7, slidingWindowPattern: 2, attnLogitSoftcapping: 0.5, finalLogitSoftcapping: 0.5 },
    },
    prompts: [5, 1, 17, 16, 9],
    more: 12,
  },
  'a Gemma 3': {
    config: {
      ...{ ...base, ...traitsOf('gemma3'), numKeyValueHeads: 2, headDim: 16, tieWordEmbeddings: true },
      ...{ slidingWindow: 7, slidingWindowPattern: 2, ropeLocalBaseFreq: 100, queryPreAttnScalar: 20 },
    },
    prompts: [5, 1, 17, 16, 9],
    more: 12,
  },
  'a layer without rotary embedding': {
    config: { ...base, numKeyValueHeads: 2, nopeLayerInterval: 2 },
    prompts: [5, 1, 17, 16, 9],
    more: 12,
  },
  'a window': { config: { ...base, numKeyValueHeads: 2, slidingWindow: 10 }, prompts: [5, 1, 17, 16, 9], more: 24 },
  'a window of 130, beyond a tile of 128 keys, behind prompts of several windows': {
    config: { ...base, numHiddenLayers: 1, numAttentionHeads: 3, numKeyValueHeads: 1, slidingWindow: 130 },
    prompts: [590, 3, 250],
    more: 150,
  },
  'a window of one token': { config: { ...base, slidingWindow: 1 }, prompts: [5, 1, 17, 16, 9], more: 3 },
  'norms of Q and K': {
    config: { ...base, numKeyValueHeads: 2, headDim: 16, qkNorm: true },
    prompts: [5, 1, 17, 16, 9],
    more: 12,
  },
  'small heads, many sequences': {
    config: { ...base, numAttentionHeads: 2, numKeyValueHeads: 1, headDim: 6, vocabSize: 331, intermediateSize: 9 },
    prompts: Array.from({ length: 35 }, (_, b) => 1 + (b % 7)),
    more: 3,
  },
};

/** The logits of a step with the cache and without it, one for each entry of the vocabulary. */
type Compare = (cached: Float32Array, whole: Float32Array, step: string) => void;

/** Compares every step, 'sequence:position'. */
async function eachStep(
  { config, prompts, more }: Sequences,
  precision: Precision,
  compare: Compare,
  variants?: VariantTable,
) {
  const { device } = context;
  const model = await createModel(device, config, { seed: 3, precision, ...(variants && { variants }) });
  await disturbVectors(model);
  const [B, longest] = [prompts.length, Math.max(...prompts)];
  const total = longest + more;
  const V = config.vocabSize;
  const random = new Random(4);
  const ids = Uint32Array.from({ length: B * total }, () => random.integer(V));
  const whole = await logits(model, ids, { B, T: total });
  const cached = await CachedModel.create(model, { B, T: longest, capacity: total });
  const compareAll = (values: Float32Array, positions: readonly number[]) => {
    for (const [b, position] of positions.entries()) {
      const at = (b * total + position) * V;
      compare(values.slice(b * V, (b + 1) * V), whole.slice(at, at + V), `${b}:${position}`);
    }
  };
  const prompt = (b: number, length: number) => ids.subarray(b * total, b * total + length);
  compareAll(
    await cached.prefill(prompts.map((length, b) => prompt(b, length))),
    prompts.map(length => length - 1),
  );
  for (let i = 0; i < more; i++) {
    const positions = [...cached.lengths];
    compareAll(await cached.decode(positions.map((position, b) => ids[b * total + position]!)), positions);
  }
  cached.destroy();
  model.destroy();
}

/** Steps where some bit differs. */
async function differences(sequences: Sequences, precision: Precision): Promise<string[]> {
  const different: string[] = [];
  await eachStep(sequences, precision, (cached, whole, step) => {
    if (!Buffer.from(cached.buffer).equals(Buffer.from(whole.buffer))) different.push(step);
  });
  return different;
}

/** The largest difference, as a part of the largest logit. */
async function largestDifference(sequences: Sequences, variants: VariantTable): Promise<number> {
  let [difference, largest] = [0, 0];
  const compare: Compare = (cached, whole) => {
    for (const [i, logit] of whole.entries()) {
      difference = Math.max(difference, Math.abs(cached[i]! - logit));
      largest = Math.max(largest, Math.abs(logit));
    }
  };
  await eachStep(sequences, 'f32', compare, variants);
  return difference / largest;
}

describe.each(Object.entries(cases))('%s', (_, sequences) => {
  test('f32', async () => {
    expect(await differences(sequences, 'f32')).toEqual([]);
  });

  test('f16', async () => {
    // each number of sequences is compiled anew, which takes some drivers seconds for halves
    const { prompts } = sequences;
    if (!context.device.adapter.features.includes('shader-f16') || ![1, 5].includes(prompts.length)) return;
    expect(await differences(sequences, 'f16')).toEqual([]);
  });
});

test('in the kernels of hardware the logits are the same but for rounding', async () => {
  const variants = new VariantTable({ ...context.device.adapter, kind: 'hardware' });
  const sequences = cases['grouped-query heads, prompts of different lengths']!;
  const difference = await largestDifference(sequences, variants);
  const products = Object.entries(variants.used.matmul).filter(([key]) => key.includes(' M8 '));
  expect(products.length).toBeGreaterThan(0);
  for (const [key, { kernel }] of products) expect(kernel, key).toBe('rows');
  // each way is off by γ of the terms that it sums, one product after another: five in each of the layers, and the head
  const { numHiddenLayers, intermediateSize } = sequences.config;
  expect(difference).toBeLessThan(2 * gamma((5 * numHiddenLayers + 1) * intermediateSize));
});
