/** Mixed precision: f16 matrices and activations against f32, loss scaling, and what it recovers from. */
import { describe, expect, test } from 'vitest';
import { createModel, lossAndGradients, type Model, Trainer } from '../../src/index.js';
import { traitsOf } from '../../src/model/families.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { nearlyCounting } from '../support/sequences.js';
import { disturbVectors } from '../support/vectors.js';

const context = useDevice();
const config = smallModel({
  vocabSize: 61,
  hiddenSize: 48,
  intermediateSize: 90,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
});
const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
const [B, T] = [4, 19];

/** Sequences that can be learnt: each token follows from the one before, but for a few. */
const batches = (count: number) => nearlyCounting(count, { B, T, vocabSize: config.vocabSize });

const hasHalf = () => context.device.adapter.features.includes('shader-f16');

async function trainer(
  precision: 'f32' | 'f16',
  settings: Partial<typeof optimizer & { lossScaleInterval: number }> = {},
) {
  const model = await createModel(context.device, config, { seed: 3, precision });
  const made = await Trainer.create(model, { B, T, microBatches: 1, optimizer: { ...optimizer, ...settings } });
  const destroy = () => {
    made.destroy();
    model.destroy();
  };
  return { model, trainer: made, destroy };
}

const weightsOf = async (model: Model) => Promise.all(model.specs.map(({ name }) => model.read(name)));

describe('f16', () => {
  test('is refused where the adapter has none', async () => {
    const { device } = context;
    const features = device.adapter.features.filter(name => name !== 'shader-f16');
    const without = { ...device.adapter, features };
    const { ModelTensors } = await import('../../src/model/tensors.js');
    const { MemoryCount } = await import('../../src/gpu/memory.js');
    expect(() => new ModelTensors(new MemoryCount(without), config, { precision: 'f16' })).toThrow(/has no f16/);
  });

  test.each([
    ['LLaMA', config],
    ['biases of Q, K, V', { ...config, qkvBias: true }],
    ['norms of Q and K', { ...config, qkNorm: true }],
    ['a Gemma 2', { ...config, ...traitsOf('gemma2'), attnLogitSoftcapping: 0.5, finalLogitSoftcapping: 2 }],
    ['a Gemma 3', { ...config, ...traitsOf('gemma3') }],
    [
      'norms behind attention and MLP, and of the whole Q and K',
      { ...config, qkNorm: true, qkNormOver: 'projection', normPlacement: 'after' } as const,
    ],
  ])('loss and gradients are those of f32 but for rounding: %s', async (_, config) => {
    if (!hasHalf()) return;
    const [sequences] = batches(1);
    const [single, half] = await Promise.all(
      (['f32', 'f16'] as const).map(async precision => {
        const model = await createModel(context.device, config, { seed: 3, precision });
        await disturbVectors(model);
        const result = await lossAndGradients(model, sequences!, { B, T });
        model.destroy();
        return result;
      }),
    );
    // a value in f16 is off by 2^-11; some ten of them follow each other on the way through two layers
    expect(Math.abs(half!.loss / single!.loss - 1)).toBeLessThan(2 ** -11);
    for (const [name, gradient] of single!.gradients) {
      const norm = Math.hypot(...gradient);
      const difference = Math.hypot(...gradient.map((g, i) => g - half!.gradients.get(name)![i]!));
      expect(difference / norm, name).toBeLessThan(20 * 2 ** -11);
    }
  });

  test('a run of 300 steps ends within 1% of the loss in f32, and so do its first ten', async () => {
    if (!hasHalf()) return;
    const data = batches(300);
    const losses: Record<string, number[]> = {};
    for (const precision of ['f32', 'f16'] as const) {
      const made = await trainer(precision);
      losses[precision] = [];
      for (const [i, sequences] of data.entries()) {
        made.trainer.submit(sequences, 3e-3);
        if (made.trainer.unread === 50 || i === 299) {
          for (const { loss, skipped } of await made.trainer.reports()) {
            expect(skipped).toBeUndefined();
            losses[precision].push(loss);
          }
        }
      }
      made.destroy();
    }
    const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
    for (let step = 0; step < 10; step++) {
      expect(Math.abs(losses.f16![step]! / losses.f32![step]! - 1)).toBeLessThan(0.01);
    }
    const [single, half] = [mean(losses.f32!.slice(-30)), mean(losses.f16!.slice(-30))];
    expect(single, 'it learnt something').toBeLessThan(0.5 * losses.f32![0]!);
    expect(Math.abs(half / single - 1)).toBeLessThan(0.01);
  });

  test('gives the same bits twice, and after being restored', async () => {
    if (!hasHalf()) return;
    const data = batches(8);
    const whole = await trainer('f16', { lossScaleInterval: 3 });
    for (const sequences of data) whole.trainer.submit(sequences, 1e-2);
    const expected = await weightsOf(whole.model);

    const first = await trainer('f16', { lossScaleInterval: 3 });
    for (const sequences of data.slice(0, 4)) first.trainer.submit(sequences, 1e-2);
    const moments = new Map<string, Awaited<ReturnType<Trainer['moments']>>>();
    for (const { name } of first.model.specs) moments.set(name, await first.trainer.moments(name));
    const scaler = (await first.trainer.scaler())!;
    const { Model } = await import('../../src/model/model.js');
    const values = new Map(
      await Promise.all(first.model.specs.map(async ({ name }) => [name, await first.model.read(name)] as const)),
    );
    const model = await Model.create(context.device, config, ({ name }) => values.get(name)!, { precision: 'f16' });
    const second = await Trainer.create(model, {
      B,
      T,
      microBatches: 1,
      optimizer: { ...optimizer, lossScaleInterval: 3 },
    });
    second.restore(4, name => moments.get(name)!, { scaling: scaler });
    for (const sequences of data.slice(4)) second.submit(sequences, 1e-2);
    expect(await weightsOf(model)).toEqual(expected);
    expect((await second.reports()).map(({ lossScale }) => lossScale)).toEqual([2 ** 16, 2 ** 16, 2 ** 17, 2 ** 17]);
    second.destroy();
    model.destroy();
    first.destroy();
    whole.destroy();
  });
});

describe('loss scaling', () => {
  test('an overflow skips the step, halves the scale, and training goes on', async () => {
    if (!hasHalf()) return;
    const [sequences] = batches(1);
    const made = await trainer('f16');
    const before = await weightsOf(made.model);
    // a scale at which f16 gradients are infinite for some steps
    const large = 2 ** 24;
    const restored = Float32Array.of(large, 0, 1, 1);
    made.trainer.restore(0, name => zeros(made.model, name), { scaling: restored });
    made.trainer.submit(sequences!, 1e-3);
    const [first] = await made.trainer.reports();
    expect(first).toMatchObject({ skipped: 'overflow', lossScale: large, badStep: 0 });
    expect(await weightsOf(made.model), 'weights stay').toEqual(before);
    const steps = [];
    for (let i = 0; i < 20; i++) steps.push(await made.trainer.trainStep(sequences!, 1e-3));
    expect(steps.every(({ badStep }) => badStep === 0)).toBe(true);
    expect(steps.at(-1)!.skipped).toBeUndefined();
    expect(steps.at(-1)!.lossScale).toBeLessThan(large);
    expect(steps.at(-1)!.loss).toBeLessThan(first!.loss);
    // t counts updates made: the first one moves every weight by the learning rate, as Adam's first step does
    made.destroy();
  });

  test('a loss that is not finite ends it at once', async () => {
    if (!hasHalf()) return;
    const made = await trainer('f16');
    const huge = new Float32Array(config.hiddenSize).fill(1e30);
    made.model.writePart('model.norm.weight', group => made.model.weight(group), huge);
    const { badStep } = await made.trainer.trainStep(batches(1)[0]!, 1e-3);
    expect(badStep).toBe(1);
    made.destroy();
  });
});

function zeros(model: Model, name: string) {
  const { count } = model.place(name);
  return { m: new Float32Array(count), v: new Float32Array(count) };
}
