/**
 * Log-likelihoods of spans against the float64 reference's logits, and against each other. Bounds: see
 * test/model/golden.test.ts.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { logLikelihoods, paddedLength, type ScoredTokens } from '../../src/eval/log-likelihoods.js';
import { TokenLosses } from '../../src/eval/token-losses.js';
import { createModel, loadModel, type Model } from '../../src/index.js';
import { IGNORED_TARGET } from '../../src/kernels/cross-entropy.js';
import { traitsOf } from '../../src/model/families.js';
import { U } from '../../src/numerics/bounds.js';
import { llama } from '../../src/numerics/llama.js';
import { Random } from '../../src/random.js';
import { goldenFolder, goldenShape, goldenTensors } from '../support/golden.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { disturbVectors } from '../support/vectors.js';

const context = useDevice();
const weights = new Map([...goldenTensors('model')].map(([name, values]) => [name, Float64Array.from(values)]));
const random = new Random(5, 'spans');
const sequence = (length: number, start: number): ScoredTokens => ({
  ids: Array.from({ length }, () => random.integer(goldenShape.vocabSize)),
  start,
});

/** The log-likelihood of a span in float64, the sequence alone and unpadded; and what it may be off by. */
function reference({ ids, start }: ScoredTokens): { value: number; bound: number } {
  const inputs = Array.from(ids).slice(0, -1);
  const targets = Array.from(ids).slice(1);
  const { logits } = llama(goldenShape, weights, inputs, targets, inputs.length);
  const V = goldenShape.vocabSize;
  let value = 0;
  let bound = 0;
  for (let row = start - 1; row < inputs.length; row++) {
    const values = logits.slice(row * V, (row + 1) * V);
    const largest = Math.max(...values);
    const total = values.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
    value += values[targets[row]!]! - largest - Math.log(total);
    bound += 100 * U * (Math.abs(largest) + Math.log(V));
  }
  return { value, bound };
}

let model: Model;
beforeAll(async () => {
  model = await loadModel(context.device, goldenFolder);
});
afterAll(() => model.destroy());

describe('log-likelihoods of spans', () => {
  test('of any number of sequences, in the order they were given in', async () => {
    const sequences = [40, 3, 30, 17, 18, 25, 5, 41].map((length, i) => sequence(length, 1 + (i % 2)));
    let scored = 0;
    const onScored = (count: number) => {
      scored += count;
    };
    const sums = await logLikelihoods(model, sequences, { batchTokens: 48, onScored });
    sequences.forEach((each, i) => {
      const { value, bound } = reference(each);
      expect(Math.abs(sums[i]! - value), `sequence ${i}`).toBeLessThan(bound);
    });
    expect(scored).toBe(8);
  });

  test('of sequences that begin alike', async () => {
    const { ids: context } = sequence(21, 1);
    const sequences = [7, 2, 12, 1].map(length => {
      const ids = [...Array.from(context), ...Array.from(sequence(length, 1).ids)];
      return { ids, start: 21 };
    });
    const sums = await logLikelihoods(model, sequences, { batchTokens: 512 });
    sequences.forEach((each, i) => {
      const { value, bound } = reference(each);
      expect(Math.abs(sums[i]! - value), `sequence ${i}`).toBeLessThan(bound);
    });
  });

  test('a span that cannot be scored', async () => {
    const scored = logLikelihoods(model, [sequence(3, 3)], { batchTokens: 48 });
    await expect(scored).rejects.toThrow('a span from 3 of 3 ids cannot be scored');
  });
});

describe.each([
  ['f32', {}],
  ['f16', {}],
  ['f32', { qkvBias: true }],
  ['f32', { qkNorm: true }],
] as const)('what sequences share is computed once, in %s, %o', (precision, more) => {
  test('and their log-likelihoods have the bits of each alone', async () => {
    if (precision === 'f16' && !context.device.adapter.features.includes('shader-f16')) return;
    const config = {
      ...{ vocabSize: 67, hiddenSize: 48, intermediateSize: 50, numHiddenLayers: 2 },
      ...{ numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 12, rmsNormEps: 1e-5, ropeTheta: 10000 },
      ...{ tieWordEmbeddings: false, maxPositionEmbeddings: 512 },
      ...more,
    };
    const small = await createModel(context.device, config, { seed: 3, precision });
    await disturbVectors(small);
    const ids = (length: number) => Array.from({ length }, () => random.integer(config.vocabSize));
    const questions = [
      { shared: 200, more: [30, 9, 17, 1] },
      { shared: 9, more: [1, 2, 3] },
      { shared: 40, more: [3, 45] },
      { shared: 3, more: [20, 20] }, // too few to share
    ];
    const sequences = questions.flatMap(({ shared, more }) => {
      const beginning = ids(shared);
      return more.map((length, i) => ({ ids: [...beginning, ...ids(length)], start: i % 2 === 0 ? shared : 1 }));
    });
    const before = context.device.counters.dispatches;
    const together = await logLikelihoods(small, sequences, { batchTokens: 512 });
    const dispatches = context.device.counters.dispatches - before;
    const alone: number[] = [];
    for (const each of sequences) alone.push((await logLikelihoods(small, [each], { batchTokens: 512 }))[0]!);
    expect([...together]).toEqual(alone);
    expect(dispatches).toBeLessThan((context.device.counters.dispatches - before) / 2);
    small.destroy();
  });
});

test('a window takes what is longer out of trees alone, to the bits of each sequence by itself', async () => {
  const config = {
    ...{ vocabSize: 67, hiddenSize: 48, intermediateSize: 50, numHiddenLayers: 2 },
    ...{ numAttentionHeads: 4, numKeyValueHeads: 2, headDim: 12, rmsNormEps: 1e-5, ropeTheta: 10000 },
    ...{ tieWordEmbeddings: false, maxPositionEmbeddings: 512, slidingWindow: 60 },
  };
  const small = await createModel(context.device, config, { seed: 3 });
  const ids = (length: number) => Array.from({ length }, () => random.integer(config.vocabSize));
  const questions = [
    { shared: 50, more: [3, 9, 11, 5] }, // the third is a window, and what it predicts
    { shared: 40, more: [4, 22, 23, 6, 7] }, // two are longer
    { shared: 90, more: [3, 4] },
    { shared: 45, more: [5, 5, 5] },
  ];
  const sequences = questions.flatMap(({ shared, more }) => {
    const beginning = ids(shared);
    return more.map(length => ({ ids: [...beginning, ...ids(length)], start: shared }));
  });
  const together = await logLikelihoods(small, sequences, { batchTokens: 256 });
  for (const [i, { ids, start }] of sequences.entries()) {
    const T = paddedLength(ids.length - 1);
    const alone = await TokenLosses.create(small, { B: 1, T });
    const padded = new Uint32Array(T + 1).fill(IGNORED_TARGET);
    padded.set(ids);
    const losses = await alone.of(padded);
    const sum = losses.slice(start - 1, ids.length - 1).reduce((sum, loss) => sum - loss, 0);
    expect(together[i], `sequence ${i} of ${ids.length} ids`).toBe(sum);
    alone.destroy();
  }
  small.destroy();
});

test('lengths that are padded to', () => {
  expect([1, 16, 17, 24, 25, 33, 48, 49, 1000].map(paddedLength)).toEqual([16, 16, 24, 24, 32, 48, 48, 64, 1024]);
});

test('sequences that begin alike are one tree in a Gemma 2 too, to the bits of each alone, under its caps', async () => {
  const caps = { attnLogitSoftcapping: 0.5, finalLogitSoftcapping: 0.5 };
  const sizes = { vocabSize: 67, hiddenSize: 48, intermediateSize: 50, numAttentionHeads: 4 };
  const config = smallModel({ ...sizes, ...traitsOf('gemma2'), ...caps });
  const own = await createModel(context.device, config, { seed: 3 });
  const draw = (length: number) => Array.from({ length }, () => random.integer(67));
  const shared = draw(21);
  const sequences = [7, 2, 12, 1].map(length => ({ ids: [...shared, ...draw(length)], start: 21 }));
  const together = await logLikelihoods(own, sequences, { batchTokens: 512 });
  const values = new Map<string, Float64Array>();
  for (const { name } of own.specs) values.set(name, Float64Array.from(await own.read(name)));
  for (const [i, each] of sequences.entries()) {
    expect((await logLikelihoods(own, [each], { batchTokens: 512 }))[0]).toBe(together[i]);
    const [inputs, targets] = [each.ids.slice(0, -1), each.ids.slice(1)];
    // all losses of the sequence less those of what it begins with
    const shares = targets.map((_, t) => (t >= each.start - 1 ? 1 : 0));
    const exact = -llama(config, values, inputs, targets, inputs.length, shares).loss;
    expect(Math.abs(together[i]! - exact)).toBeLessThan(100 * U * Math.abs(exact));
  }
  own.destroy();
});
