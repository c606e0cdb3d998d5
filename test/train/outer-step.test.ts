/** The outer step of DiLoCo against float64, on two trainers that go their own ways. */
import { expect, test } from 'vitest';
import { createModel, Trainer } from '../../src/index.js';
import { Random } from '../../src/random.js';
import { OuterStep } from '../../src/train/outer-step.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { ranksOfOneProcess } from '../support/ranks.js';

const context = useDevice();
const config = smallModel({ vocabSize: 61, hiddenSize: 32, intermediateSize: 48, numAttentionHeads: 2 });
const [B, T] = [2, 15];
const [learningRate, momentum] = [0.7, 0.9];

async function makeRank(precision: 'f32' | 'f16') {
  const model = await createModel(context.device, config, { seed: 3, precision });
  return { model, trainer: await Trainer.create(model, { B, T }) };
}

test.each(['f32', 'f16'] as const)('follows the mean of what two have moved, in %s', async precision => {
  if (precision === 'f16' && !context.device.adapter.features.includes('shader-f16')) return;
  const made = [await makeRank(precision), await makeRank(precision)];
  const groups = ranksOfOneProcess(2);
  const outer = await Promise.all(
    made.map(({ trainer }, i) => OuterStep.create(trainer, groups[i]!, { learningRate, momentum, wire: 'f32' })),
  );
  const read = (name: string) => Promise.all(made.map(({ model }) => model.read(name)));
  const [name] = made[0]!.model.specs.map(spec => spec.name).filter(each => each.includes('down_proj'));
  const theta = Float64Array.from((await read(name!))[0]!);
  const v = new Float64Array(theta.length);
  const random = made.map((_, i) => new Random(i, 'tokens'));
  for (let meeting = 0; meeting < 3; meeting++) {
    for (const [i, { trainer }] of made.entries()) {
      for (let step = 0; step < 2; step++) {
        const tokens = Uint32Array.from({ length: B * (T + 1) }, () => random[i]!.integer(config.vocabSize));
        await trainer.trainStep(tokens, 1e-2);
      }
    }
    const [a, b] = await read(name!);
    expect(a).not.toEqual(b);
    for (let i = 0; i < theta.length; i++) {
      const delta = theta[i]! - (a![i]! + b![i]!) / 2;
      v[i] = momentum * v[i]! + delta;
      theta[i]! -= learningRate * (momentum * v[i]! + delta);
    }
    await Promise.all(outer.map(each => each.make()));
    const [first, second] = await read(name!);
    expect(first).toEqual(second);
    // a handful of f32 roundings a meeting, of values below 0.2: 2^-24 · 0.2 each, carried on by the momentum
    const worst = Math.max(...first!.map((value, i) => Math.abs(value - theta[i]!)));
    expect(worst).toBeLessThan(10 * 2 ** -24);
  }
  await Promise.all(outer.map(each => each.shareState()));
  const moments = await Promise.all(made.map(({ trainer }) => trainer.moments(name!)));
  expect(moments[0]).toEqual(moments[1]);
  // f16 copies follow the weights: both say the same of the same tokens
  const tokens = Uint32Array.from({ length: B * (T + 1) }, (_, i) => i % config.vocabSize);
  const losses = [];
  for (const { trainer } of made) losses.push((await trainer.trainStep(tokens, 0)).loss);
  expect(losses[0]).toBe(losses[1]);
  for (const { trainer, model } of made) {
    trainer.destroy();
    model.destroy();
  }
});
