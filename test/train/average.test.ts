/** The running average of weights on the device against one in float64, over the weights that the steps left. */
import { describe, expect, test } from 'vitest';
import { UserError } from '../../src/errors.js';
import { TokenLosses } from '../../src/eval/token-losses.js';
import { modelConfig } from '../../src/model/fields.js';
import { initialWeights } from '../../src/model/init.js';
import { Model } from '../../src/model/model.js';
import type { Precision } from '../../src/model/tensors.js';
import { U } from '../../src/numerics/bounds.js';
import { averageComplement } from '../../src/optim/average.js';
import { Random } from '../../src/random.js';
import { Trainer } from '../../src/train/step.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const shape = { B: 2, T: 7 };
const config = modelConfig({
  hiddenSize: 36,
  intermediateSize: 52,
  numHiddenLayers: 2,
  numAttentionHeads: 3,
  numKeyValueHeads: 1,
  vocabSize: 41,
});
const DECAY = 0.6;
const batch = (step: number) => {
  const random = new Random(step, 'batch');
  return Uint32Array.from({ length: shape.B * (shape.T + 1) }, () => random.integer(config.vocabSize));
};
const weightsOf = async (model: Model) => {
  const weights = new Map<string, Float32Array>();
  for (const { name } of model.specs) weights.set(name, await model.read(name));
  return weights;
};

test('the decay grows from step to step up to the one that was asked for', () => {
  expect([1, 2, 10, 100].map(step => 1 - averageComplement(0.9, step))).toEqual(
    [2 / 11, 3 / 12, 11 / 20, 0.9].map(value => expect.closeTo(value, 14)),
  );
  expect(averageComplement(0.9999, 1e6)).toBe(1 - 0.9999);
});

describe.each<Precision>(['f32', 'f16'])('in %s', precision => {
  test('the average follows the weights of every step, and steps are as without it', async () => {
    const { device } = context;
    if (precision === 'f16' && !device.adapter.features.includes('shader-f16')) return;
    const make = () => Model.create(device, config, initialWeights(config, 1), { precision });
    const [model, plain] = [await make(), await make()];
    const trainer = await Trainer.create(model, { ...shape, emaDecay: DECAY, frozenSteps: 2 });
    const without = await Trainer.create(plain, { ...shape, frozenSteps: 2 });
    const average = new Map([...(await weightsOf(model))].map(([name, values]) => [name, Float64Array.from(values)]));
    for (const [name, values] of average) expect(Float64Array.from(await trainer.average!.read(name))).toEqual(values);
    const largest = new Map<string, number>();
    for (let step = 1; step <= 6; step++) {
      await trainer.trainStep(batch(step), 1e-2);
      await without.trainStep(batch(step), 1e-2);
      const complement = Math.fround(averageComplement(DECAY, step));
      for (const [name, weights] of await weightsOf(model)) {
        const values = average.get(name)!;
        for (let i = 0; i < values.length; i++) values[i]! += complement * (weights[i]! - values[i]!);
        const most = Math.max(...weights.map(Math.abs), ...values.map(Math.abs));
        largest.set(name, Math.max(most, largest.get(name) ?? 0));
        // a step is off by 2u of its move, at most twice the largest value, and by u of its sum: 5u; six add up
        const device = await trainer.average!.read(name);
        const worst = Math.max(...device.map((value, i) => Math.abs(value - values[i]!)));
        expect(worst, `${name} after ${step}`).toBeLessThanOrEqual(step * 5 * U * largest.get(name)!);
        if (step === 6) expect(device, name).not.toEqual(weights);
      }
    }
    expect(await weightsOf(model)).toEqual(await weightsOf(plain));
    for (const made of [trainer, without, model, plain]) made.destroy();
  });

  test('a model has its average for weights while it is asked to, and its own bits after that', async () => {
    const { device } = context;
    if (precision === 'f16' && !device.adapter.features.includes('shader-f16')) return;
    const model = await Model.create(device, config, initialWeights(config, 1), { precision });
    const trainer = await Trainer.create(model, { ...shape, emaDecay: DECAY });
    for (let step = 1; step <= 3; step++) await trainer.trainStep(batch(step), 1e-2);
    const before = await weightsOf(model);
    const averages = new Map<string, Float32Array>();
    for (const { name } of model.specs) averages.set(name, await trainer.average!.read(name));
    const averaged = await Model.create(device, config, ({ name }) => averages.get(name)!, { precision });
    const lossesOf = async (of: Model) => {
      const losses = await TokenLosses.create(of, shape);
      const found = await losses.of(batch(9));
      losses.destroy();
      return found;
    };
    const own = await lossesOf(model);
    expect(await trainer.average!.inPlace(() => lossesOf(model))).toEqual(await lossesOf(averaged));
    expect(await lossesOf(model)).toEqual(own);
    await expect(trainer.average!.inPlace(() => Promise.reject(new Error('evaluation failed')))).rejects.toThrow(
      'evaluation failed',
    );
    expect(await weightsOf(model)).toEqual(before);
    for (const { name } of model.specs) expect(await trainer.average!.read(name)).toEqual(averages.get(name));
    await trainer.trainStep(batch(4), 1e-2);
    trainer.average!.restore(name => averages.get(name)!);
    for (const { name } of model.specs) expect(await trainer.average!.read(name)).toEqual(averages.get(name));
    for (const made of [trainer, model, averaged]) made.destroy();
  });
});

test('a step that makes no update leaves the average alone', async () => {
  const model = await Model.create(context.device, config, initialWeights(config, 1));
  const trainer = await Trainer.create(model, {
    ...shape,
    emaDecay: DECAY,
    optimizer: { mostSkipped: 5 },
  });
  await trainer.trainStep(batch(1), 1e-2);
  const { name } = model.specs[0]!;
  const [weights, before] = [await model.read(name), await trainer.average!.read(name)];
  model.writePart(
    name,
    group => model.weight(group),
    weights.map(() => Number.NaN),
  );
  expect((await trainer.trainStep(batch(2), 1e-2)).skipped).toBe('not finite');
  expect(await trainer.average!.read(name)).toEqual(before);
  trainer.destroy();
  model.destroy();
});

test.each([0, 1, -1, Number.NaN])('a decay of %s is refused', async emaDecay => {
  const model = await Model.create(context.device, config, initialWeights(config, 1));
  const error = await Trainer.create(model, { ...shape, emaDecay }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).message).toMatch(/emaDecay is .*; it must be above 0 and below 1/);
  model.destroy();
});
