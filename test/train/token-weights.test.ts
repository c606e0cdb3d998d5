/** Weights of the tokens that a step predicts: against float64, in parts, all 0, and refused. */
import { describe, expect, test } from 'vitest';
import { createModel, lossAndGradients, Trainer } from '../../src/index.js';
import { IGNORED_TARGET } from '../../src/kernels/cross-entropy.js';
import { llama } from '../../src/numerics/llama.js';
import { Random } from '../../src/random.js';
import { locateNonFinite } from '../../src/train/non-finite.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';

const context = useDevice();
const config = smallModel({
  vocabSize: 61,
  hiddenSize: 32,
  intermediateSize: 40,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
});
const T = 8;
const random = new Random(7);
const sequences = (count: number): Uint32Array =>
  Uint32Array.from({ length: count * (T + 1) }, () => random.integer(config.vocabSize));
/** Weights [count, T], of which about a third are 0. */
const weightsOf = (count: number): Float32Array =>
  Float32Array.from({ length: count * T }, () => (random.uniform() < 0.3 ? 0 : 3 * random.uniform()));

function largestOf(values: Iterable<ArrayLike<number>>): number {
  let largest = 0;
  for (const part of values) for (const value of Array.from(part)) largest = Math.max(largest, Math.abs(value));
  return largest;
}

function expectAlike(actual: ReadonlyMap<string, ArrayLike<number>>, expected: ReadonlyMap<string, ArrayLike<number>>) {
  const scale = largestOf(expected.values());
  for (const [name, values] of expected) {
    const difference = Float64Array.from(values, (value, i) => value - actual.get(name)![i]!);
    expect(largestOf([difference]) / scale, name).toBeLessThan(1e-5);
  }
}

/** A trainer on the same initial weights each time, after one step at rate 0. */
async function stepped(
  options: Partial<Parameters<typeof Trainer.create>[1]>,
  batch: Uint32Array,
  weights?: Float32Array,
) {
  using model = await createModel(context.device, config, { seed: 3 });
  using trainer = await Trainer.create(model, { B: 2, T, ...options });
  const { loss, gradientNorm, skipped } = await trainer.trainStep(batch, 0, weights);
  return { loss, gradientNorm, skipped, gradients: await trainer.gradients() };
}

describe('a weighted step', () => {
  test('has the loss and the gradients of float64, an ignored target among the tokens', async () => {
    using model = await createModel(context.device, config, { seed: 2 });
    const exact = new Map<string, Float64Array>();
    for (const { name } of model.specs) exact.set(name, Float64Array.from(await model.read(name)));
    const [batch, weights] = [sequences(2), weightsOf(2)];
    const ids = Array.from({ length: 2 * T }, (_, i) => batch[i + Math.floor(i / T)]!);
    const targets = Array.from({ length: 2 * T }, (_, i) => batch[i + Math.floor(i / T) + 1]!);
    weights[2 * T - 1] = 2;
    const total = weights.reduce((sum, weight) => sum + weight, 0) - 2;
    const shares = Array.from(weights, (weight, i) => (i === 2 * T - 1 ? 0 : weight / total));
    batch[batch.length - 1] = IGNORED_TARGET;
    const expected = llama(config, exact, ids, targets, T, shares);
    const { loss, gradients } = await lossAndGradients(model, batch, { B: 2, T }, weights);
    expect(loss).toBeCloseTo(expected.loss, 5);
    expectAlike(gradients, expected.gradients);
  });

  test('is the same in micro-batches, each of which counts by the sum of its weights', async () => {
    const [batch, weights] = [sequences(4), weightsOf(4)];
    weights.subarray(0, 2 * T).fill(0); // a micro-batch that counts for nothing
    weights[3 * T] = 40; // and one that counts for most
    const whole = await stepped({ B: 4, weighted: true }, batch, weights);
    for (const B of [2, 1]) {
      const parts = await stepped({ B, microBatches: 4 / B, weighted: true }, batch, weights);
      expect(parts.loss).toBeCloseTo(whole.loss, 5);
      expectAlike(parts.gradients, whole.gradients);
    }
    const tail = await stepped({ B: 2, weighted: true }, batch.slice(2 * (T + 1)), weights.slice(2 * T));
    expect(tail.loss).toBeCloseTo(whole.loss, 5);
    expectAlike(tail.gradients, whole.gradients);
  });

  test('has the gradients of one without weights, bit for bit, where all weights are alike', async () => {
    const batch = sequences(2);
    const plain = await stepped({}, batch);
    for (const weights of [undefined, new Float32Array(2 * T).fill(0.25)]) {
      const weighted = await stepped({ weighted: true }, batch, weights);
      expect(weighted.gradients).toEqual(plain.gradients);
      expect(weighted.loss).toBeCloseTo(plain.loss, 5);
    }
  });

  test('is of no loss and no gradient where all weights are 0', async () => {
    const none = await stepped({ weighted: true }, sequences(2), new Float32Array(2 * T));
    expect(none).toMatchObject({ loss: 0, gradientNorm: 0, skipped: undefined });
    expect(largestOf(none.gradients.values())).toBe(0);
  });

  test('shared by two trainers, is the sum of their parts', async () => {
    const [batch, weights] = [sequences(4), weightsOf(4)];
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    using model = await createModel(context.device, config, { seed: 3 });
    using trainer = await Trainer.create(model, { B: 2, T, weighted: true, sharers: 2 });
    const losses = [];
    for (const half of [0, 1]) {
      const own = batch.slice(half * 2 * (T + 1), (half + 1) * 2 * (T + 1));
      trainer.begin(own, 0, weights.slice(half * 2 * T, (half + 1) * 2 * T), total);
      model.device.submit(trainer.passes);
      trainer.finish();
      losses.push((await trainer.reports()).at(-1)!.loss);
    }
    const whole = await stepped({ B: 4, weighted: true }, batch, weights);
    expect(losses[0]! + losses[1]!).toBeCloseTo(whole.loss, 5);
  });

  test('looks for what is not finite with the weights of the step', async () => {
    using model = await createModel(context.device, config, { seed: 3 });
    const weights = new Float32Array(2 * T).fill(1);
    const found = await locateNonFinite(model, sequences(2), { B: 1, T }, 1, weights.fill(1e38));
    expect(found).toBeUndefined(); // shares of a sum are never large
  });
});

test('weights that are none are refused, and so are weights for a trainer that takes none', async () => {
  using model = await createModel(context.device, config, { seed: 3 });
  using plain = await Trainer.create(model, { B: 1, T });
  using weighted = await Trainer.create(model, { B: 1, T, weighted: true });
  const batch = sequences(1);
  const all = new Float32Array(T).fill(1);
  await expect(plain.trainStep(batch, 1e-3, all)).rejects.toThrow(/weights are for a trainer .*weighted: true/);
  const refused: readonly [unknown, RegExp][] = [
    [new Float32Array(T + 1), /9 weights are not \[1, 8\]: 8 are expected, one for each id but the first/],
    [[1, 2], /weights must be a Float32Array, not Array; Float32Array\.from/],
    [all.with(3, -1), /weight 3 is -1; a weight is a finite number of at least 0/],
    [all.with(4, Number.NaN), /weight 4 is NaN/],
    [all.with(5, Infinity), /weight 5 is Infinity/],
  ];
  for (const [weights, why] of refused) {
    await expect(weighted.trainStep(batch, 1e-3, weights as Float32Array)).rejects.toThrow(why);
    await expect(lossAndGradients(model, batch, { B: 1, T }, weights as Float32Array)).rejects.toThrow(why);
  }
  expect([plain.step, weighted.step]).toEqual([0, 0]);
});
