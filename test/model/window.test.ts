/** Models whose layers see a window: within it the bits are those of full attention, beyond it those of float64. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  createModel,
  generate,
  logits,
  logLikelihoods,
  loss,
  lossAndGradients,
  type Model,
  type ModelConfig,
} from '../../src/index.js';
import { traitsOf } from '../../src/model/families.js';
import { attentionFlopsPerToken } from '../../src/model/parameters.js';
import { U } from '../../src/numerics/bounds.js';
import { llama } from '../../src/numerics/llama.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { disturbVectors } from '../support/vectors.js';

const context = useDevice();
const config = smallModel({
  vocabSize: 26,
  hiddenSize: 16,
  intermediateSize: 24,
  numHiddenLayers: 2,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 64,
});
const W = 16;
const ids = (count: number) => Uint32Array.from({ length: count }, (_, i) => (7 * i + 3 + Math.floor(i / 5)) % 26);
const letters = async (text: readonly number[]) => text.map(id => String.fromCharCode(97 + id)).join('');

let model: Model;
let full: Model;
beforeAll(async () => {
  model = await createModel(context.device, { ...config, slidingWindow: W }, { seed: 11 });
  full = await createModel(context.device, config, { seed: 11 });
});
afterAll(() => {
  model.destroy();
  full.destroy();
});

test('contexts within the window have the bits of full attention', async () => {
  expect(await logits(model, ids(W), { B: 1, T: W })).toEqual(await logits(full, ids(W), { B: 1, T: W }));
  expect(await loss(model, ids(W + 1), { B: 1, T: W })).toBe(await loss(full, ids(W + 1), { B: 1, T: W }));
  // sequences that begin alike run as one tree, which may be longer than the window
  const branches = [1, 2, 3, 4].map(last => ({ ids: [...ids(W), last], start: 4 }));
  const scored = await logLikelihoods(model, branches, { batchTokens: 128 });
  expect(scored).toEqual(await logLikelihoods(full, branches, { batchTokens: 128 }));
});

test('the first token beyond it is the first to differ', async () => {
  const T = W + 4;
  const [within, all] = await Promise.all([model, full].map(each => logits(each, ids(T), { B: 1, T })));
  expect(within!.slice(0, 26 * W)).toEqual(all!.slice(0, 26 * W));
  for (let t = W; t < T; t++) {
    expect(within!.slice(26 * t, 26 * (t + 1)), `${t}`).not.toEqual(all!.slice(26 * t, 26 * (t + 1)));
  }
});

test('choices beyond it are scored one by one, as their losses say', async () => {
  const T = W + 9;
  const sequences = [1, 2, 3].map(last => ({ ids: [...ids(T), last], start: T - 3 }));
  const scored = await logLikelihoods(model, sequences, { batchTokens: 128 });
  for (const [i, { ids: own, start }] of sequences.entries()) {
    const rows = await logits(model, Uint32Array.from(own.slice(0, -1)), { B: 1, T });
    let sum = 0;
    for (let t = start; t < own.length; t++) {
      const row = rows.subarray(26 * (t - 1), 26 * t);
      const total = row.reduce((total, value) => total + Math.exp(value), 0);
      sum += row[own[t]!]! - Math.log(total);
    }
    expect(scored[i]!).toBeCloseTo(sum, 4);
  }
});

test('generation goes on beyond it, to the last position', async () => {
  const { results } = await generate(model, [[3]], letters, { maxTokens: 100, temperature: 0 });
  expect(results[0]).toMatchObject({ finish: 'context', ids: { length: config.maxPositionEmbeddings - 1 } });
  const whole = [3, ...results[0]!.ids];
  const rows = await logits(model, Uint32Array.from(whole), { B: 1, T: whole.length });
  const likeliest = whole.slice(1).map((_, t) => {
    const row = rows.subarray(26 * t, 26 * (t + 1));
    return row.indexOf(Math.max(...row));
  });
  expect(results[0]!.ids).toEqual(likeliest);
});

const gemma = { ...config, ...traitsOf('gemma3'), slidingWindowPattern: 2, ropeLocalBaseFreq: 100 };
test.each<[string, ModelConfig, number | undefined]>([
  ['of all layers', { ...config, slidingWindow: 7 }, undefined],
  ['of one layer of two', { ...gemma, slidingWindow: 7 }, undefined],
  ['of all layers, with fused projections', { ...config, fusedProjections: true, slidingWindow: 7 }, undefined],
  ['of all layers, within documents', { ...config, slidingWindow: 5 }, 3],
])('loss and gradients are those of float64: %s', async (_, shape, documentEnd) => {
  const T = 40;
  const made = await createModel(context.device, shape, { seed: 5 });
  await disturbVectors(made);
  const weights = new Map<string, Float64Array>();
  for (const { name } of made.specs) weights.set(name, Float64Array.from(await made.read(name)));
  const sequence = ids(T + 1);
  const actual = await lossAndGradients(made, sequence, { B: 1, T }, undefined, { documentEnd });
  made.destroy();
  // each document alone, as a share of all targets
  const ends = [...sequence.subarray(0, T)].flatMap((id, t) => (id === documentEnd ? [t + 1] : []));
  const begins = documentEnd === undefined ? [0] : [...new Set([0, ...ends])].filter(begin => begin < T);
  const exact = { loss: 0, gradients: new Map<string, Float64Array>() };
  for (const [i, begin] of begins.entries()) {
    const end = begins[i + 1] ?? T;
    const [inputs, targets] = [sequence.subarray(begin, end), sequence.subarray(begin + 1, end + 1)];
    const shares = Array<number>(end - begin).fill(1 / T);
    const { loss, gradients } = llama(shape, weights, inputs, targets, end - begin, shares);
    exact.loss += loss;
    for (const [name, gradient] of gradients) {
      const sum = exact.gradients.get(name);
      exact.gradients.set(name, sum ? sum.map((value, j) => value + gradient[j]!) : Float64Array.from(gradient));
    }
  }
  if (documentEnd !== undefined) expect(begins.length).toBeGreaterThan(1);
  const tolerance = 110 * U; // as for models of other shapes: hundreds of roundings that add up like a random walk
  expect(Math.abs(actual.loss - exact.loss)).toBeLessThan(tolerance * exact.loss);
  for (const [name, reference] of exact.gradients) {
    const largest = reference.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-3);
    const values = actual.gradients.get(name)!;
    const error = reference.reduce((most, value, i) => Math.max(most, Math.abs(value - values[i]!)), 0);
    expect(error, name).toBeLessThan(tolerance * largest);
  }
});

test('FLOPs of scores are those of the pairs within it', () => {
  const T = 64;
  const half = { ...gemma, slidingWindow: 16 };
  const perLayer = 6 * 2 * 8;
  expect(attentionFlopsPerToken(config, T)).toBe(2 * perLayer * T);
  expect(attentionFlopsPerToken(half, T)).toBe(perLayer * T + perLayer * (T - 48 ** 2 / T));
  expect(attentionFlopsPerToken({ ...half, slidingWindow: 64 }, T)).toBe(2 * perLayer * T);
});

test.each([0, 1.5])('of %d tokens is none', async slidingWindow => {
  const attempt = createModel(context.device, { ...config, slidingWindow }, { seed: 1 });
  await expect(attempt).rejects.toThrow(/slidingWindow is .*; it must be a positive whole number/);
});
