/** Single steps of f16 training: where the loss scale grows, where one is skipped, and with layers computed again. */
import { describe, expect, test } from 'vitest';
import { createModel, type Model, Trainer } from '../../src/index.js';
import { Random } from '../../src/random.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';

const context = useDevice();
const config = smallModel({ vocabSize: 61, hiddenSize: 48, intermediateSize: 90, numAttentionHeads: 4 });
const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
const [B, T] = [4, 19];
const RATE = 3e-3;

const random = new Random(5, 'ids');
const data = Array.from({ length: 8 }, () =>
  Uint32Array.from({ length: B * (T + 1) }, () => random.integer(config.vocabSize)),
);
const hasHalf = () => context.device.adapter.features.includes('shader-f16');

interface Settings {
  readonly interval?: number;
  readonly checkpointing?: 'none' | 'layer';
  /** The loss scale to begin with. */
  readonly scale?: number;
}

async function start({ interval = 2000, checkpointing = 'none', scale }: Settings) {
  const model = await createModel(context.device, config, { seed: 3, precision: 'f16' });
  const settings = { B, T, microBatches: 1, checkpointing, optimizer: { ...optimizer, lossScaleInterval: interval } };
  const trainer = await Trainer.create(model, settings);
  const zeros = (name: string) => {
    const { count } = model.place(name);
    return { m: new Float32Array(count), v: new Float32Array(count) };
  };
  if (scale !== undefined) trainer.restore(0, zeros, Float32Array.of(scale, 0, 1, 1));
  const destroy = () => {
    trainer.destroy();
    model.destroy();
  };
  return { model, trainer, destroy };
}

/** Weights and moments, by name. */
async function stateOf({ model, trainer }: { model: Model; trainer: Trainer }) {
  const state = new Map<string, readonly Float32Array[]>();
  for (const { name } of model.specs) {
    const { m, v } = await trainer.moments(name);
    state.set(name, [await model.read(name), m, v]);
  }
  return state;
}

test('layers that are computed again give the same bits, also while the loss scale grows', async () => {
  if (!hasHalf()) return;
  const [kept, again] = [await start({ interval: 3 }), await start({ interval: 3, checkpointing: 'layer' })];
  for (const sequences of data) for (const { trainer } of [kept, again]) trainer.submit(sequences, RATE);
  const reports = await kept.trainer.reports();
  expect(reports.map(({ lossScale }) => lossScale / reports[0]!.lossScale)).toEqual([1, 1, 1, 2, 2, 2, 4, 4]);
  expect(await again.trainer.reports()).toEqual(reports);
  expect(await stateOf(again)).toEqual(await stateOf(kept));
  for (const made of [kept, again]) made.destroy();
});

test('the step at which the loss scale grows, and the one after, are those of a constant scale', async () => {
  if (!hasHalf()) return;
  const scale = 2 ** 12;
  const [growing, constant] = [await start({ interval: 2, scale }), await start({ scale })];
  const step = async (sequences: Uint32Array) =>
    Promise.all([growing, constant].map(({ trainer }) => trainer.trainStep(sequences, RATE)));
  await step(data[0]!);
  // gradients are taken off the scale that they were made with, whatever it is from the next step on
  const [last, same] = await step(data[1]!);
  expect(last).toEqual(same);
  expect(await stateOf(growing)).toEqual(await stateOf(constant));
  const [doubled, single] = await step(data[2]!);
  expect([doubled!.lossScale, single!.lossScale]).toEqual([2 * scale, scale]);
  // a scale of a power of two changes the rounding of gradients that are subnormal halves alone: f16's 2^-11 is far above
  expect(Math.abs(doubled!.gradientNorm / single!.gradientNorm - 1)).toBeLessThan(2 ** -11);
  const [grown, other] = [await stateOf(growing), await stateOf(constant)];
  for (const [name, [, m]] of other) {
    const difference = Math.hypot(...grown.get(name)![1]!.map((value, i) => value - m![i]!));
    expect(difference / Math.hypot(...m!), name).toBeLessThan(2 ** -9);
  }
  for (const made of [growing, constant]) made.destroy();
});

describe('after steps that overflowed', () => {
  test.each([1, 4])('%i of them, all is as if they had never been', async skips => {
    if (!hasHalf()) return;
    // a scale at which the first step still overflows, found by halving
    const probe = await start({ scale: 2 ** 26 });
    let report = await probe.trainer.trainStep(data[0]!, RATE);
    while (report.skipped) report = await probe.trainer.trainStep(data[0]!, RATE);
    probe.destroy();
    const scale = report.lossScale;

    const [skipping, clean] = [await start({ scale: scale * 2 ** skips }), await start({ scale })];
    for (let i = 0; i < skips; i++) {
      expect(await skipping.trainer.trainStep(data[0]!, RATE)).toMatchObject({ skipped: true, badStep: 0 });
    }
    for (const sequences of data.slice(0, 4)) {
      const [one, other] = [
        await skipping.trainer.trainStep(sequences, RATE),
        await clean.trainer.trainStep(sequences, RATE),
      ];
      expect(one).toEqual(other);
    }
    // weights, moments, and β^t of the corrections, which count updates
    expect(await stateOf(skipping)).toEqual(await stateOf(clean));
    expect((await skipping.trainer.scaler())!.slice(2)).toEqual((await clean.trainer.scaler())!.slice(2));
    expect((await clean.trainer.scaler())![2]).toBeCloseTo(optimizer.beta1 ** 4, 6);
    for (const made of [skipping, clean]) made.destroy();
  });
});
