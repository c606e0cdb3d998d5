/** Steps on packed windows in which attention stays within documents: each document counts as if it stood alone. */
import { describe, expect, test } from 'vitest';
import { createModel, logits, lossAndGradients, TokenLosses, Trainer } from '../../src/index.js';
import { documentBegins } from '../../src/model/batch.js';
import { llama } from '../../src/numerics/llama.js';
import { Random } from '../../src/random.js';
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
const documentEnd = 60;
const random = new Random(7);
const text = (length: number): number[] => Array.from({ length }, () => random.integer(documentEnd));
/** Documents of these lengths with the id that ends each, and one id more. */
const windowOf = (lengths: readonly number[]): Uint32Array =>
  Uint32Array.from([...lengths.flatMap(length => [...text(length - 1), documentEnd]), 3]);
const modelOf = () => createModel(context.device, config, { seed: 3 });

test('a document begins behind the id that ends the one before it, or with its sequence', () => {
  const ids = Uint32Array.of(5, 60, 1, 60, 60, 2, 3, 60, 1, 2, 3, 4);
  expect([...documentBegins(ids, 6, documentEnd)]).toEqual([0, 0, 2, 2, 4, 5, 0, 0, 2, 2, 2, 2]);
});

test('a window of documents of one length has the bits of as many sequences', async () => {
  using model = await modelOf();
  const [count, T] = [4, 9];
  const whole = windowOf(Array<number>(count).fill(T));
  const apart = Uint32Array.from(
    Array.from({ length: count }, (_, i) => [...whole.subarray(i * T, i * T + T + 1)]).flat(),
  );
  const one = { B: 1, T: count * T };
  const many = { B: count, T };
  const ids = whole.subarray(0, count * T);
  const masked = await logits(model, ids, one, { documentEnd });
  expect(masked).toEqual(await logits(model, ids, many));
  expect(masked).not.toEqual(await logits(model, ids, one));
  using losses = await TokenLosses.create(model, one, { documentEnd });
  using own = await TokenLosses.create(model, many);
  expect(await losses.of(whole)).toEqual(await own.of(apart));
  const packed = await lossAndGradients(model, whole, one, undefined, { documentEnd });
  const separate = await lossAndGradients(model, apart, many);
  expect(packed.loss).toBe(separate.loss);
  expect(packed.gradients).toEqual(separate.gradients);
});

test('documents of odd lengths have the loss and the gradients of float64, each alone', async () => {
  using model = await modelOf();
  const exact = new Map<string, Float64Array>();
  for (const { name } of model.specs) exact.set(name, Float64Array.from(await model.read(name)));
  const lengths = [1, 6, 2, 11, 1, 4];
  const T = lengths.reduce((sum, length) => sum + length, 0);
  const sequence = windowOf(lengths);
  const { loss, gradients } = await lossAndGradients(model, sequence, { B: 1, T }, undefined, { documentEnd });
  const expected = new Map([...exact].map(([name, values]) => [name, new Float64Array(values.length)]));
  let [exactLoss, first] = [0, 0];
  for (const length of lengths) {
    const [ids, targets] = [sequence.slice(first, first + length), sequence.slice(first + 1, first + length + 1)];
    const alone = llama(config, exact, ids, targets, length, Array<number>(length).fill(1 / T));
    exactLoss += alone.loss;
    for (const [name, values] of alone.gradients) {
      const sums = expected.get(name)!;
      for (const [i, value] of values.entries()) sums[i]! += value;
    }
    first += length;
  }
  expect(loss).toBeCloseTo(exactLoss, 5);
  const largest = Math.max(...[...expected.values()].flatMap(values => Array.from(values, Math.abs)));
  for (const [name, values] of expected) {
    const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - gradients.get(name)![i]!)), 0);
    expect(worst / largest, name).toBeLessThan(1e-5);
  }
});

describe('a step', () => {
  const lengths = [[5, 3, 1, 7], [16], [2, 2, 12], [9, 7]];
  const batch = Uint32Array.from(lengths.flatMap(own => [...windowOf(own)]));
  const T = 16;

  async function stepped(options: Partial<Parameters<typeof Trainer.create>[1]>, sequences = batch) {
    using model = await modelOf();
    using trainer = await Trainer.create(model, { B: 4, T, documentEnd, ...options });
    const { loss } = await trainer.trainStep(sequences, 1e-3);
    return { loss, weights: await model.read('model.layers.0.self_attn.q_proj.weight') };
  }

  test('in micro-batches, and shared by trainers, is the same but for rounding', async () => {
    const whole = await stepped({});
    const parts = await stepped({ B: 1, microBatches: 4 });
    expect(parts.loss).toBeCloseTo(whole.loss, 5);
    const half = batch.length / 2;
    const shared = [batch.slice(0, half), batch.slice(half)];
    const losses = await Promise.all(shared.map(own => stepped({ B: 2, sharers: 2 }, own)));
    expect(losses[0]!.loss + losses[1]!.loss).toBeCloseTo(whole.loss, 5);
    const without = await stepped({ documentEnd: undefined });
    expect(Math.abs(without.loss - whole.loss)).toBeGreaterThan(1e-4);
  });

  test('with checkpointing has the same bits', async () => {
    const [plain, recomputed] = [await stepped({}), await stepped({ checkpointing: 'layer' })];
    expect(recomputed).toEqual(plain);
  });

  test('has weights of targets beside documents', async () => {
    using model = await modelOf();
    using trainer = await Trainer.create(model, { B: 4, T, documentEnd, weighted: true });
    const { loss } = await trainer.trainStep(batch, 0, new Float32Array(4 * T).fill(2));
    const { loss: plain } = await lossAndGradients(model, batch, { B: 4, T }, undefined, { documentEnd });
    expect(loss).toBeCloseTo(plain, 5);
  });
});

test('what is no id of the vocabulary ends no document', async () => {
  using model = await modelOf();
  const shape = { B: 1, T: 4 };
  for (const wrong of [61, -1, 1.5, '60' as unknown as number]) {
    const why = /documentEnd is .*; it must be the id that ends a document, one of the model's 61/;
    await expect(Trainer.create(model, { ...shape, documentEnd: wrong })).rejects.toThrow(why);
    await expect(TokenLosses.create(model, shape, { documentEnd: wrong })).rejects.toThrow(why);
    await expect(logits(model, Uint32Array.of(1, 2, 3, 4), shape, { documentEnd: wrong })).rejects.toThrow(why);
    const ids = Uint32Array.of(1, 2, 3, 4, 5);
    await expect(lossAndGradients(model, ids, shape, undefined, { documentEnd: wrong })).rejects.toThrow(why);
  }
});
