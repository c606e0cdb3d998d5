/** Training in f16 with gradients of matrices in f16, against those in f32. */
import { describe, expect, test, vi } from 'vitest';
import { Bench } from '../../src/cases/bench.js';
import { gradientNormPartialCase } from '../../src/cases/gradient-norm.js';
import { createModel, Trainer } from '../../src/index.js';
import type { Operand } from '../../src/kernels/call.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { HealthProbe } from '../../src/train/health-probe.js';
import { SharedStep } from '../../src/train/shared-step.js';
import type { TrainerOptions } from '../../src/train/step.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { ranksOfOneProcess } from '../support/ranks.js';
import { nearlyCounting } from '../support/sequences.js';

const context = useDevice();
/** Matrices of even and odd numbers of elements, of whole fours and not; the embedding's rows have ids that repeat. */
const config = smallModel({ vocabSize: 131, hiddenSize: 34, intermediateSize: 45, numAttentionHeads: 1 });
const [B, T] = [4, 19];
const batches = (count: number, sequences = B) =>
  nearlyCounting(count, { B: sequences, T, vocabSize: config.vocabSize });

type Options = Partial<TrainerOptions> & {
  readonly weightType?: 'f32' | 'bf16';
  readonly precision?: 'f32' | 'f16';
};

async function make({ weightType, precision = 'f16', ...settings }: Options = {}) {
  const model = await createModel(context.device, config, { seed: 3, precision, weightType });
  const trainer = await Trainer.create(model, { B, T, gradientStorage: 'f16', ...settings });
  const destroy = () => {
    trainer.destroy();
    model.destroy();
  };
  return { model, trainer, destroy };
}

const hasHalves = () => context.device.adapter.features.includes('shader-f16');
const largestOf = (values: Float32Array) => values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);

describe('gradients in f16', () => {
  test.each([1, 3])('are those in f32, rounded as often as they are added to: %i micro-batches', async microBatches => {
    if (!hasHalves()) return;
    const [sequences] = batches(1, B * microBatches);
    const [halved, plain] = [await make({ microBatches }), await make({ microBatches, gradientStorage: 'f32' })];
    const reports = await Promise.all([halved, plain].map(({ trainer }) => trainer.trainStep(sequences!, 1e-3)));
    const [a, b] = [await halved.trainer.gradients(), await plain.trainer.gradients()];
    for (const { name, decay } of halved.model.specs) {
      const [rounded, exact] = [a.get(name)!, b.get(name)!];
      if (!decay) expect(rounded, name).toEqual(exact);
      else {
        // each addition rounds a sum, which is no larger than the largest gradient by far: the head and the embedding
        // add twice a micro-batch
        const bound = 2 * microBatches * 2 ** -11 * 2 * largestOf(exact) + 2 ** -24;
        rounded.forEach((value, i) => {
          expect(Math.abs(value - exact[i]!), `${name}[${i}]`).toBeLessThan(bound);
        });
        expect(
          rounded.every((value, i) => value === exact[i]),
          name,
        ).toBe(false);
        expect(
          new Uint16Array(Float32Array.from(rounded).buffer)
            .filter((_, i) => i % 2 === 0)
            .every(low => (low & 0x1fff) === 0),
        ).toBe(true);
      }
    }
    expect(Math.abs(reports[0]!.gradientNorm / reports[1]!.gradientNorm - 1)).toBeLessThan(2 ** -10);
    for (const made of [halved, plain]) made.destroy();
  });

  test('are read where a part begins or ends in the middle of a word', async () => {
    if (!hasHalves()) return;
    const odd = smallModel({ vocabSize: 61, hiddenSize: 33, intermediateSize: 45, numAttentionHeads: 1, headDim: 16 });
    const model = await createModel(context.device, odd, { seed: 3, precision: 'f16' });
    const [sequences] = nearlyCounting(1, { B, T, vocabSize: odd.vocabSize });
    const found = [];
    for (const gradientStorage of ['f16', 'f32'] as const) {
      const trainer = await Trainer.create(model, { B, T, gradientStorage });
      await trainer.trainStep(sequences!, 0);
      found.push(await trainer.gradients());
      trainer.destroy();
    }
    const name = 'model.layers.1.mlp.up_proj.weight';
    expect(model.place(name).first % 2).toBe(1);
    const [rounded, exact] = found.map(gradients => gradients.get(name)!);
    expect(rounded).toHaveLength(45 * 33);
    rounded!.forEach((value, i) => {
      expect(Math.abs(value - exact![i]!)).toBeLessThanOrEqual(2 ** -11 * Math.abs(exact![i]!) + 2 ** -25);
    });
    model.destroy();
  }, 300_000);

  test('take half the memory, and train as those in f32 do', async () => {
    if (!hasHalves()) return;
    const losses: number[][] = [];
    for (const gradientStorage of ['f16', 'f32'] as const) {
      const made = await make({ gradientStorage, microBatches: 2 });
      const found: number[] = [];
      for (const sequences of batches(60, 2 * B)) found.push((await made.trainer.trainStep(sequences, 1e-2)).loss);
      losses.push(found);
      const { parameters } = made.trainer.state;
      for (const [name, { tensor }] of parameters) {
        expect(tensor.gradient!.dtype, name).toBe(/norm/.test(name) ? 'f32' : gradientStorage);
      }
      made.destroy();
    }
    const [halved, plain] = losses.map(all => all.slice(-20).reduce((sum, loss) => sum + loss / 20, 0));
    expect(halved).toBeLessThan(0.6 * losses[0]![0]!);
    // the step's own noise, from batch to batch, is some tenths
    expect(Math.abs(halved! / plain! - 1)).toBeLessThan(0.02);
  });

  test.each<[string, Options]>([
    ['moments in 8 bits', { momentType: '8bit' }],
    ['weights in bf16', { momentType: '8bit', weightType: 'bf16' }],
    ['moments in host memory', { offload: 'moments' }],
    [
      'weights in bf16, moments in 8 bits in host memory',
      { momentType: '8bit', weightType: 'bf16', offload: 'moments' },
    ],
    ['no decay', { optimizer: { weightDecay: 0 } }],
    [
      'frozen parts',
      {
        parameterGroups: [
          { match: ['model.layers.0.*'], frozen: true },
          { match: ['*embed*'], learningRate: 0.5 },
        ],
      },
    ],
    ['checkpointing and an average', { checkpointing: 'layer', emaDecay: 0.9 }],
  ])('go with %s, the same bits each time', async (_, options) => {
    if (!hasHalves()) return;
    const [one, other, plain] = [
      await make(options),
      await make(options),
      await make({ ...options, gradientStorage: 'f32' }),
    ];
    for (const sequences of batches(3)) {
      const [a, b, c] = [
        await one.trainer.trainStep(sequences, 1e-3),
        await other.trainer.trainStep(sequences, 1e-3),
        await plain.trainer.trainStep(sequences, 1e-3),
      ];
      expect(a).toEqual(b);
      expect(a.skipped).toBeUndefined();
      expect(Math.abs(a.loss / c.loss - 1)).toBeLessThan(1e-3);
      expect(Math.abs(a.gradientNorm / c.gradientNorm - 1)).toBeLessThan(2e-2);
    }
    for (const { name } of one.model.specs)
      expect(await one.model.read(name), name).toEqual(await other.model.read(name));
    for (const made of [one, other, plain]) made.destroy();
  });

  test('that overflow are told, also where they are rounded to the largest half; the scale is halved', async () => {
    if (!hasHalves()) return;
    const made = await make();
    const [sequences] = batches(1);
    const before = await made.model.read('model.embed_tokens.weight');
    const scaler = (await made.trainer.scaler())!;
    const zeros = (name: string) => ({
      m: new Float32Array(made.model.place(name).count),
      v: new Float32Array(made.model.place(name).count),
    });
    made.trainer.restore(0, zeros, { scaling: Float32Array.of(2 ** 24, 0, ...scaler.slice(2)) });
    const report = await made.trainer.trainStep(sequences!, 1e-3);
    expect(report).toMatchObject({ skipped: 'overflow', lossScale: 2 ** 24 });
    expect((await made.trainer.scaler())![0]).toBe(2 ** 23);
    expect(await made.model.read('model.embed_tokens.weight')).toEqual(before);
    made.destroy();

    const bench = new Bench(context.device, { repeats: 1, fillWorkgroups: false });
    for (const count of [1000, 333]) {
      for (const value of [65504, -65504, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
        const one = gradientNormPartialCase({ count, type: 'f16' });
        one.inputs.gradient!.values[count - 1] = value;
        const variants = [{ name: 'shipped', table: new VariantTable(context.device.adapter) }];
        const ran = await bench.run({ ...one, variants });
        expect(ran.get('shipped')!.values.partial![1], `${value} of ${count}`).toBe(Number.POSITIVE_INFINITY);
      }
    }
    bench.destroy();
  });

  test('are seen by the health probe as the host sees them', async () => {
    if (!hasHalves()) return;
    const made = await make();
    const probe = await HealthProbe.create(made.trainer);
    const { lossScale } = await made.trainer.trainStep(batches(1)[0]!, 1e-3);
    const line = await probe.measure(1e-3);
    const gradients = await made.trainer.gradients();
    const name = 'model.layers.0.self_attn.o_proj.weight';
    const seen = line.parameters.find(parameter => parameter.name === made.model.place(name).group)!.gradient;
    const values = gradients.get(name)!;
    expect(seen.amax * lossScale).toBe(largestOf(values));
    const isSubnormal = (value: number) => value !== 0 && Math.abs(value) < 2 ** -14;
    expect(seen.subnormal).toBe(values.filter(isSubnormal).length / values.length);
    expect(seen.zeros).toBe(values.filter(value => value === 0).length / values.length);
    expect(seen.nonFinite).toBe(0);
    probe.destroy();
    made.destroy();
  });

  test('are summed over ranks in f32', async () => {
    if (!hasHalves()) return;
    const whole = await make({ microBatches: 2 });
    const shares = [await make({ sharers: 2 }), await make({ sharers: 2 })];
    const ranks = ranksOfOneProcess(2);
    const steps = shares.map(
      ({ trainer }, i) => new SharedStep(trainer, ranks[i]!, { wire: 'f32', bucketBytes: 3000 }),
    );
    const half = B * (T + 1);
    for (const batch of batches(3, 2 * B)) {
      const expected = await whole.trainer.trainStep(batch, 1e-3);
      await Promise.all(steps.map((step, i) => step.submit(batch.slice(i * half, (i + 1) * half), 1e-3)));
      const [first, second] = await Promise.all(shares.map(({ trainer }) => trainer.reports()));
      expect(first).toEqual(second);
      expect(first![0]!.skipped).toBeUndefined();
      expect(Math.abs(first![0]!.gradientNorm / expected.gradientNorm - 1)).toBeLessThan(2 ** -9);
    }
    const [a, b] = await Promise.all(
      shares.map(({ model }) => Promise.all(model.specs.map(({ name }) => model.read(name)))),
    );
    expect(a).toEqual(b);
    for (const made of [whole, ...shares]) made.destroy();
  });

  test('that overflowed on one rank, rounded to the largest half, are not hidden by those of the other', async () => {
    if (!hasHalves()) return;
    const shares = [await make({ sharers: 2 }), await make({ sharers: 2 })];
    const ranks = ranksOfOneProcess(2);
    const steps = shares.map(({ trainer }, i) => new SharedStep(trainer, ranks[i]!, { wire: 'f32' }));
    // of the values that one rank sends the largest becomes the largest half, of the other sign
    const { device } = context;
    const copyOutAll = device.copyOutAll.bind(device);
    const spy = vi.spyOn(device, 'copyOutAll').mockImplementationOnce(ranges => {
      const read = copyOutAll(ranges);
      return async () => {
        const bytes = await read();
        const operands = ranges as readonly Operand[];
        const first = operands.findIndex(({ type }) => type === 'f16');
        const before = operands.slice(0, first).reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
        const halves = new Uint16Array(bytes, before, operands[first]!.sizeBytes / 2);
        const magnitudes = halves.map(half => half & 0x7fff);
        const at = magnitudes.indexOf(magnitudes.reduce((a, b) => Math.max(a, b)));
        expect(magnitudes[at]).toBeGreaterThan(0x5400); // 64: more than a rounding of what is the largest
        halves[at] = halves[at]! & 0x8000 ? 0x7bff : 0xfbff;
        return bytes;
      };
    });
    const [batch] = batches(1);
    const [first, second] = await Promise.all(
      steps.map(async (step, i) => {
        await step.submit(batch!, 1e-3);
        return shares[i]!.trainer.reports();
      }),
    );
    spy.mockRestore();
    expect(first).toEqual(second);
    expect(first![0]!.skipped).toBe('overflow');
    for (const made of shares) made.destroy();
  });

  test('are refused where losses are not scaled', async () => {
    await expect(make({ precision: 'f32' })).rejects.toThrow(/gradientStorage f16 goes with precision f16/);
  });
});
