/** The training step as a machine: what it makes, what it waits for, and that it is the same every time. */
import { afterEach, describe, expect, test, vi } from 'vitest';
import { createModel, type Model, openDevice, Trainer, UserError } from '../../src/index.js';
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
const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
const T = 16;

const random = new Random(4);
const sequences = (count: number): Uint32Array =>
  Uint32Array.from({ length: count * (T + 1) }, () => random.integer(config.vocabSize));

async function weightsOf(model: Model): Promise<Float32Array[]> {
  const all: Float32Array[] = [];
  for (const { name } of model.specs) all.push(await model.read(name));
  return all;
}

afterEach(() => vi.restoreAllMocks());

describe('a training step', () => {
  test('makes no buffer, pipeline or bind group after the second, and waits for nothing', async () => {
    const { device } = context;
    const model = await createModel(device, config, { seed: 1 });
    const trainer = await Trainer.create(model, { B: 2, T, microBatches: 2, optimizer });
    const batches = Array.from({ length: 6 }, () => sequences(4));
    trainer.submit(batches[0]!, 1e-3);
    trainer.submit(batches[1]!, 1e-3);
    await trainer.reports();
    const before = { ...device.counters };
    for (const batch of batches.slice(2)) {
      const returned: unknown = trainer.submit(batch, 1e-3);
      expect(returned, 'submit gives nothing to wait for').toBeUndefined();
    }
    const made = Object.fromEntries(
      Object.entries(device.counters).map(([key, n]) => [key, n - before[key as keyof typeof before]]),
    );
    expect(made).toMatchObject({ buffers: 0, pipelines: 0, bindGroups: 0, readbacks: 0, submits: 4 });
    expect(made.dispatches).toBeGreaterThan(0);
    const reports = await trainer.reports();
    expect(reports).toHaveLength(4);
    expect({ ...device.counters }, 'reading four reports back').toMatchObject({
      buffers: before.buffers,
      readbacks: before.readbacks + 1,
    });
    trainer.destroy();
    model.destroy();
  });

  test('frees all that it made', async () => {
    const { device } = context;
    const before = device.memory.bytes;
    const model = await createModel(device, config, { seed: 1 });
    const trainer = await Trainer.create(model, { B: 2, T, microBatches: 1, optimizer });
    await trainer.trainStep(sequences(2), 1e-3);
    const withTrainer = device.memory.bytes;
    trainer.destroy();
    model.destroy();
    expect(withTrainer).toBeGreaterThan(before);
    // staging buffers are kept for later readbacks
    expect(device.memory.bytes - before).toBeLessThan(2000);
  });

  test('gives the same bits twice', async () => {
    const batches = Array.from({ length: 5 }, () => sequences(4));
    const runs = [];
    for (let i = 0; i < 2; i++) {
      const model = await createModel(context.device, config, { seed: 2 });
      const trainer = await Trainer.create(model, { B: 4, T, microBatches: 1, optimizer });
      for (const batch of batches) trainer.submit(batch, 1e-2);
      runs.push({ reports: await trainer.reports(), weights: await weightsOf(model) });
      trainer.destroy();
      model.destroy();
    }
    expect(runs[1]).toEqual(runs[0]);
  });

  test('accumulates micro-batches to the step of the whole batch', async () => {
    const batch = sequences(6);
    const results = [];
    for (const [B, microBatches] of [
      [6, 1],
      [2, 3],
      [1, 6],
    ] as const) {
      const model = await createModel(context.device, config, { seed: 3 });
      const trainer = await Trainer.create(model, { B, T, microBatches, optimizer });
      const health = await trainer.trainStep(batch, 0);
      results.push({ health, gradients: await trainer.gradients() });
      trainer.destroy();
      model.destroy();
    }
    const [whole, ...parts] = results;
    for (const part of parts) {
      // the same terms added in another order
      expect(part.health.loss).toBeCloseTo(whole!.health.loss, 5);
      for (const [name, gradient] of whole!.gradients) {
        const scale = gradient.reduce((largest, g) => Math.max(largest, Math.abs(g)), 0);
        gradient.forEach((g, i) => {
          expect(Math.abs(part.gradients.get(name)![i]! - g)).toBeLessThan(1e-5 * scale);
        });
      }
    }
  });

  test('overfits a single batch', async () => {
    const model = await createModel(context.device, config, { seed: 4 });
    const trainer = await Trainer.create(model, {
      B: 2,
      T,
      microBatches: 1,
      optimizer: { ...optimizer, weightDecay: 0 },
    });
    const batch = sequences(2);
    let loss = Number.POSITIVE_INFINITY;
    for (let step = 0; step < 120; step++) ({ loss } = await trainer.trainStep(batch, 1e-2));
    expect(loss).toBeLessThan(0.05); // from log 61 = 4.1
    trainer.destroy();
    model.destroy();
  });

  test('refuses ids outside the vocabulary, batches of another size, and rates that are none', async () => {
    const model = await createModel(context.device, config, { seed: 4 });
    const trainer = await Trainer.create(model, { B: 1, T, microBatches: 1, optimizer });
    const batch = sequences(1);
    for (const rate of [Number.NaN, -1e-3, Number.POSITIVE_INFINITY]) {
      expect(() => trainer.submit(batch, rate)).toThrow(
        `learningRate is ${rate}; it must be a finite number from 0 on`,
      );
    }
    expect(trainer.step).toBe(0);
    batch[3] = 61;
    expect(() => trainer.submit(batch, 1e-3)).toThrow(/token id 61 is outside the model's vocabulary of 61/);
    expect(() => trainer.submit(sequences(2), 1e-3)).toThrow(/34 token ids are not \[1, 17\]/);
    trainer.destroy();
    model.destroy();
  });
});

describe('a step that is not finite', () => {
  test('leaves the weights alone from then on, and the first bad tensor is found', async () => {
    const { device } = context;
    const model = await createModel(device, config, { seed: 6 });
    const trainer = await Trainer.create(model, { B: 2, T, microBatches: 1, optimizer });
    const name = 'model.layers.1.mlp.up_proj.weight';
    const huge = (await model.read(name)).map(() => 3e38);
    model.writePart(name, group => model.weight(group), huge);
    const before = await weightsOf(model);
    const batch = sequences(2);
    trainer.submit(batch, 1e-3);
    trainer.submit(sequences(2), 1e-3);
    const reports = await trainer.reports();
    expect(reports.map(({ badStep }) => badStep)).toEqual([1, 1]);
    expect(await weightsOf(model)).toEqual(before);
    const found = await locateNonFinite(model, batch, { B: 2, T });
    expect(found?.tensor).toBe('model.layers.1.mlp.gate_up_proj.swiglu.0');
    trainer.destroy();
    model.destroy();
  });
});

describe('limits', () => {
  test('a weight beyond the adapter is refused with its name, its size and the limit', async () => {
    const limit = 64 * 1024;
    const device = await openDevice({ limits: { maxBufferSize: limit } });
    const vocabSize = limit / (4 * config.hiddenSize) + 1;
    const attempt = createModel(device, { ...config, vocabSize }, { seed: 6 });
    await expect(attempt).rejects.toThrow(UserError);
    await expect(attempt).rejects.toThrow(
      `'model.embed_tokens.weight' needs ${4 * config.hiddenSize * vocabSize} bytes in one buffer; the adapter '${device.adapter.name}' allows ${limit}`,
    );
    device.close();
  });

  test.each([{ tieWordEmbeddings: true }, { tieWordEmbeddings: false }, { qkvBias: true }, { qkNorm: true }])(
    'tensors beyond a binding are split, and weights beyond a buffer shared out, and nothing changes: %o',
    async fields => {
      const large = { ...config, vocabSize: 1500, hiddenSize: 128, ...fields };
      const ids = new Random(7);
      const batch = Uint32Array.from({ length: 4 * (T + 1) }, () => ids.integer(large.vocabSize));
      // the embedding takes 768 kB, its gradient and moments too
      const results = [];
      const binding = { maxStorageBufferBindingSize: 400_000 };
      for (const limits of [{}, binding, { ...binding, maxBufferSize: 800_000 }]) {
        const device = await openDevice({ checked: true, limits });
        const createBindGroup = vi.spyOn(device, 'bind');
        const model = await createModel(device, large, { seed: 6 });
        const trainer = await Trainer.create(model, { B: 4, T, microBatches: 1, optimizer });
        const reports = [await trainer.trainStep(batch, 1e-3), await trainer.trainStep(batch, 1e-3)];
        const gradients = await trainer.gradients();
        const bound = createBindGroup.mock.calls.flatMap(([, ranges]) => ranges.map(([, { sizeBytes }]) => sizeBytes));
        results.push({ reports, gradients, weights: await weightsOf(model), largest: Math.max(...bound) });
        device.close();
      }
      const [whole, ...splits] = results;
      expect(whole!.largest).toBeGreaterThanOrEqual(4 * 128 * 1500);
      for (const { largest, reports, gradients } of splits) {
        expect(largest).toBeLessThanOrEqual(400_000);
        // only sums over the vocabulary are taken in another order: the gradient of the head's input
        expect(reports[0]!.loss).toBe(whole!.reports[0]!.loss);
        expect(reports[1]!.loss).toBeCloseTo(whole!.reports[1]!.loss, 5);
        for (const [name, gradient] of whole!.gradients) {
          const scale = gradient.reduce((most, g) => Math.max(most, Math.abs(g)), 0);
          const error = gradient.reduce((worst, g, i) => Math.max(worst, Math.abs(g - gradients.get(name)![i]!)), 0);
          expect(error, name).toBeLessThan(1e-4 * scale);
        }
      }
    },
  );

  test('a micro-batch beyond what a dispatch can hold is refused, and what was made for it is freed', async () => {
    const { device } = context;
    const model = await createModel(device, config, { seed: 6 });
    const before = device.memory.bytes;
    const attempt = Trainer.create(model, { B: 70_000, T, microBatches: 1, optimizer });
    await expect(attempt).rejects.toThrow(UserError);
    await expect(attempt).rejects.toThrow(/Use a smaller micro-batch/);
    expect(device.memory.bytes - before).toBeLessThan(2000);
    model.destroy();
  });
});
