/** Steps that two trainers share, each with half of a batch, against one trainer with the whole. */
import { describe, expect, test } from 'vitest';
import { createModel, type Model, Trainer } from '../../src/index.js';
import { Random } from '../../src/random.js';
import { bucketsOf } from '../../src/train/buckets.js';
import { SharedStep } from '../../src/train/shared-step.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { ranksOfOneProcess } from '../support/ranks.js';

const context = useDevice();
const config = smallModel({ vocabSize: 61, hiddenSize: 48, intermediateSize: 90, numAttentionHeads: 4 });
const [SEQUENCES, T] = [8, 19];

function batches(count: number): Uint32Array[] {
  const random = new Random(5);
  return Array.from({ length: count }, () =>
    Uint32Array.from({ length: SEQUENCES * (T + 1) }, () => random.integer(config.vocabSize)),
  );
}

const weightsOf = async (model: Model) => Promise.all(model.specs.map(({ name }) => model.read(name)));

async function trainerOf(precision: 'f32' | 'f16', sharers: number) {
  const model = await createModel(context.device, config, { seed: 3, precision });
  const microBatches = SEQUENCES / sharers / 2;
  return { model, trainer: await Trainer.create(model, { B: 2, T, microBatches, sharers }) };
}

describe('buckets', () => {
  test('hold every gradient and the loss once, in the order in which they are final', async () => {
    const { model, trainer } = await trainerOf('f32', 2);
    const { parameters, loss } = trainer.state;
    const gradients = [...parameters.values()].map(({ tensor }) => tensor.gradient!);
    const [plan] = trainer.plans;
    for (const bytes of [1, 20_000, 1e9]) {
      const buckets = bucketsOf(plan!, [...gradients, loss], bytes);
      expect(buckets.map(({ after }) => after)).toEqual([...buckets.map(({ after }) => after)].sort((a, b) => a - b));
      expect(buckets.at(-1)!.after).toBe(plan!.commands.length);
      for (const { buffer, offsetBytes = 0, name } of [...gradients, loss]) {
        const holding = buckets
          .flatMap(({ ranges }) => ranges)
          .filter(
            range =>
              range.buffer === buffer &&
              range.offsetBytes <= offsetBytes &&
              offsetBytes < range.offsetBytes + range.sizeBytes,
          );
        expect(holding, name).toHaveLength(1);
      }
      expect(buckets.length > 1).toBe(bytes < 1e9);
    }
    trainer.destroy();
    model.destroy();
  });
});

describe('a shared step', () => {
  test.each(['f32', 'f16'] as const)('makes the update of the whole batch, in %s', async precision => {
    if (precision === 'f16' && !context.device.adapter.features.includes('shader-f16')) return;
    const whole = await trainerOf(precision, 1);
    const shares = await Promise.all([trainerOf(precision, 2), trainerOf(precision, 2)]);
    const ranks = ranksOfOneProcess(2);
    const steps = shares.map(
      ({ trainer }, i) => new SharedStep(trainer, ranks[i]!, { wire: 'f32', bucketBytes: 9000 }),
    );
    const half = (SEQUENCES / 2) * (T + 1);
    for (const batch of batches(4)) {
      const expected = await whole.trainer.trainStep(batch, 1e-3);
      await Promise.all(steps.map((step, i) => step.submit(batch.slice(i * half, (i + 1) * half), 1e-3)));
      const [first, second] = await Promise.all(shares.map(({ trainer }) => trainer.reports()));
      expect(first).toEqual(second);
      // gradients are sums over 152 tokens in another order: (n-1) u = 9e-6 relative to sums of magnitudes in f32
      expect(Math.abs(first![0]!.loss - expected.loss) / expected.loss).toBeLessThan(1e-5);
      expect(Math.abs(first![0]!.gradientNorm - expected.gradientNorm) / expected.gradientNorm).toBeLessThan(1e-4);
    }
    const [a, b] = await Promise.all(shares.map(({ model }) => weightsOf(model)));
    expect(a).toEqual(b);
    for (const { trainer, model } of [whole, ...shares]) {
      trainer.destroy();
      model.destroy();
    }
  });
});
