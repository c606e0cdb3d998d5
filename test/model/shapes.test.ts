/** Models of other shapes against the float64 reference: loss and every gradient. */
import { describe, expect, test } from 'vitest';
import { createModel, lossAndGradients, type ModelConfig } from '../../src/index.js';
import { traitsOf } from '../../src/model/families.js';
import { U } from '../../src/numerics/bounds.js';
import { llama } from '../../src/numerics/llama.js';
import { Random } from '../../src/random.js';
import { useDevice } from '../support/gpu.js';
import { disturbVectors } from '../support/vectors.js';

const context = useDevice();

const base = { rmsNormEps: 1e-5, ropeTheta: 10000, maxPositionEmbeddings: 2048 };
const wide = {
  ...base,
  vocabSize: 65_537, // 64 rows of it take 16 MiB
  hiddenSize: 8,
  intermediateSize: 10,
  numHiddenLayers: 1,
  numAttentionHeads: 1,
  numKeyValueHeads: 1,
  headDim: 8,
};
const odd = {
  ...base,
  vocabSize: 331,
  hiddenSize: 96,
  intermediateSize: 250,
  numHiddenLayers: 2,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
  headDim: 24,
  tieWordEmbeddings: true,
};
const models: Record<string, { config: ModelConfig; B: number; T: number }> = {
  'grouped-query heads, tied head, everything odd': {
    config: odd,
    B: 2,
    T: 37,
  },
  'biases of Q, K, V': { config: { ...odd, qkvBias: true }, B: 2, T: 67 },
  'fused projections': { config: { ...odd, fusedProjections: true }, B: 2, T: 67 },
  'norms behind attention and MLP, and of the whole Q and K': {
    config: { ...odd, qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' },
    B: 2,
    T: 67,
  },
  'a Gemma': { config: { ...odd, ...traitsOf('gemma') }, B: 2, T: 67 },
  'a Gemma 2, one layer within a window, scores and logits near their caps': {
    config: {
      ...{ ...odd, ...traitsOf('gemma2'), queryPreAttnScalar: 20, slidingWindow: 20, slidingWindowPattern: 2 },
      ...{ attnLogitSoftcapping: 0.5, finalLogitSoftcapping: 0.5 },
    },
    B: 2,
    T: 67,
  },
  'a Gemma 3, one layer within a window': {
    config: {
      ...{ ...odd, ...traitsOf('gemma3') },
      ...{ slidingWindow: 20, slidingWindowPattern: 2, ropeLocalBaseFreq: 1000, queryPreAttnScalar: 20 },
    },
    B: 2,
    T: 67,
  },
  'a layer without rotary embedding': { config: { ...odd, nopeLayerInterval: 2 }, B: 2, T: 67 },
  'norms of Q and K': { config: { ...odd, qkNorm: true }, B: 2, T: 67 },
  'head size 80 at T 131': {
    config: {
      ...base,
      vocabSize: 67,
      hiddenSize: 80,
      intermediateSize: 33,
      numHiddenLayers: 1,
      numAttentionHeads: 2,
      numKeyValueHeads: 1,
      headDim: 80,
      tieWordEmbeddings: false,
    },
    B: 1,
    T: 131,
  },
  'a vocabulary whose logits come in three chunks, the last ragged; tied head': {
    config: { ...wide, tieWordEmbeddings: true },
    B: 2,
    T: 73,
  },
  'the same with a head of its own': {
    config: { ...wide, tieWordEmbeddings: false },
    B: 2,
    T: 73,
  },
  'one token, one head': {
    config: {
      ...base,
      vocabSize: 5,
      hiddenSize: 8,
      intermediateSize: 3,
      numHiddenLayers: 1,
      numAttentionHeads: 1,
      numKeyValueHeads: 1,
      headDim: 8,
      tieWordEmbeddings: true,
    },
    B: 1,
    T: 1,
  },
};

describe.each(Object.entries(models))('%s', (_, { config, B, T }) => {
  test('loss and gradients', async () => {
    const model = await createModel(context.device, config, { seed: 5 });
    await disturbVectors(model);
    const weights = new Map<string, Float64Array>();
    for (const { name } of model.specs) weights.set(name, Float64Array.from(await model.read(name)));
    const random = new Random(9);
    const sequences = Uint32Array.from({ length: B * (T + 1) }, () => random.integer(config.vocabSize));
    const actual = await lossAndGradients(model, sequences, { B, T });
    const rows = Array.from({ length: B }, (_, b) => [...sequences.subarray(b * (T + 1), (b + 1) * (T + 1))]);
    const expected = llama(
      config,
      weights,
      rows.flatMap(row => row.slice(0, -1)),
      rows.flatMap(row => row.slice(1)),
      T,
    );
    // as for the golden model: hundreds of roundings a value, which add up like a random walk; sums over the vocabulary
    // (the softmax, the hidden states' gradient) are walks of V steps
    const tolerance = (100 + Math.sqrt(config.vocabSize)) * U;
    expect(Math.abs(actual.loss - expected.loss)).toBeLessThan(tolerance * expected.loss);
    for (const [name, reference] of expected.gradients) {
      const scale = reference.reduce((largest, g) => Math.max(largest, Math.abs(g)), 0);
      const error = actual.gradients
        .get(name)!
        .reduce((worst, g, i) => Math.max(worst, Math.abs(g - reference[i]!)), 0);
      // a gradient that is zero but for cancellation (one token: attention cannot matter) is off by roundings of its
      // terms
      expect(error, name).toBeLessThan(tolerance * Math.max(scale, 1e-3));
    }
    model.destroy();
  });
});
