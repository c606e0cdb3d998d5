/** Training with matrices in bf16, whose updates are rounded by chance. */
import { describe, expect, test } from 'vitest';
import { sizeOf } from '../../src/autograd/tensor.js';
import { adamw8bitCase } from '../../src/cases/adamw-8bit.js';
import { Bench } from '../../src/cases/bench.js';
import { Input, type Problem, sent, updated } from '../../src/cases/case.js';
import { MemoryCount } from '../../src/gpu/memory.js';
import { createModel, Trainer } from '../../src/index.js';
import { adamw8bit, codedSizes } from '../../src/kernels/adamw-8bit.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { parameterGroups } from '../../src/model/parameters.js';
import { ModelTensors } from '../../src/model/tensors.js';
import { ADAMW_DEFAULTS, scheduleWords } from '../../src/optim/adamw.js';
import type { TrainerOptions } from '../../src/train/step.js';
import { TracedStep } from '../../src/train/traced-step.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { nearlyCounting } from '../support/sequences.js';

const context = useDevice();
const config = smallModel({ vocabSize: 131, hiddenSize: 34, intermediateSize: 46, numAttentionHeads: 1 });
const [B, T] = [4, 19];
const precisions = () =>
  (['f32', 'f16'] as const).filter(type => type === 'f32' || context.device.adapter.features.includes('shader-f16'));

const batches = (count: number) => nearlyCounting(count, { B, T, vocabSize: config.vocabSize });

interface Made extends Partial<TrainerOptions> {
  readonly precision?: 'f32' | 'f16';
  readonly weightType?: 'f32' | 'bf16';
}

async function make({ precision = 'f32', weightType = 'bf16', ...settings }: Made = {}) {
  const model = await createModel(context.device, config, { seed: 3, precision, weightType });
  const trainer = await Trainer.create(model, { B, T, momentType: '8bit', ...settings });
  const weights = async () => Promise.all(model.specs.map(({ name }) => model.read(name)));
  const destroy = () => {
    trainer.destroy();
    model.destroy();
  };
  return { model, trainer, weights, destroy };
}

/** What an update of `count` weights of 1 by −rate leaves of them. */
async function updateOnes(count: number, rate: number, step: number, salt: number): Promise<Float32Array> {
  const { codes, maxima } = codedSizes(count);
  const ones = () => new Float64Array(count).fill(1);
  const schedule = new Float32Array(scheduleWords({ ...ADAMW_DEFAULTS }, step, rate, 1).buffer);
  // the codes of 0 of m and of v
  const zeros = () => Float64Array.from({ length: codes }, (_, i) => (i % 8 < 4 ? 127 : 0));
  const settings = { beta1: 0.9, beta2: 0.95, eps: 0, weightDecay: 0 };
  const table = new VariantTable(context.device.adapter);
  const problem: Problem = {
    ...adamw8bitCase({ count, isBfloat: true }),
    inputs: {
      gradient: new Input('f32', count, ones),
      schedule: sent(schedule),
      health: sent([1, 1, 0, 0, 1, 0, schedule[1]!, schedule[2]!]),
    },
    outputs: {
      parameter: updated(new Input('bf16', count, ones)),
      codes: updated(new Input('u8', codes, zeros)),
      maxima: updated(new Input('f32', maxima, () => new Float64Array(maxima))),
    },
    calls: (variants, operands) =>
      adamw8bit(variants, count, settings, operands as unknown as Parameters<typeof adamw8bit>[3], salt),
    variants: [{ name: 'shipped', table }],
  };
  const bench = new Bench(context.device, { repeats: 1, fillWorkgroups: false });
  try {
    const ran = (await bench.run(problem)).get('shipped')!;
    expect(ran.strayWrites).toBe(0);
    return Float32Array.from(ran.values.parameter!);
  } finally {
    bench.destroy();
  }
}

describe('rounding by chance', () => {
  const COUNT = 2 ** 16 + 2; // no whole number of fours
  /** The bf16 below 1 is a step of 2^-8 away. */
  const STEP = 2 ** -8;

  test('moves a weight by a quarter of its last digit a quarter of the time, each for itself', async () => {
    const values = await updateOnes(COUNT, STEP / 4, 1, 0);
    expect(new Set(values)).toEqual(new Set([1, 1 - STEP]));
    const moved = Array.from(values, (value): number => (value === 1 ? 0 : 1));
    const mean = moved.reduce((sum, each) => sum + each, 0) / COUNT;
    // five standard deviations of so many draws
    expect(Math.abs(mean - 0.25)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / COUNT));
    for (const distance of [1, 2, 3, 4, 64, 256]) {
      const pairs = moved.slice(distance).map((each, i) => (each - 0.25) * (moved[i]! - 0.25));
      const correlation = pairs.reduce((sum, each) => sum + each, 0) / pairs.length / (0.25 * 0.75);
      expect(Math.abs(correlation), `${distance} apart`).toBeLessThan(5 / Math.sqrt(pairs.length));
    }
  });

  test('is the same for the same step and tensor, and another for others', async () => {
    const first = await updateOnes(COUNT, STEP / 2, 7, 2);
    expect(await updateOnes(COUNT, STEP / 2, 7, 2)).toEqual(first);
    for (const [step, salt] of [
      [8, 2],
      [7, 3],
    ] as const) {
      const other = await updateOnes(COUNT, STEP / 2, step, salt);
      const equal = other.filter((value, i) => value === first[i]).length / COUNT;
      expect(Math.abs(equal - 0.5), `step ${step}, tensor ${salt}`).toBeLessThan((5 * 0.5) / Math.sqrt(COUNT));
    }
  });
});

describe('matrices in bf16', () => {
  test('start as the nearest bf16, and stay bf16; norms are f32', async () => {
    const [made, plain] = [await make(), await make({ weightType: 'f32' })];
    const [a, b] = [await made.weights(), await plain.weights()];
    for (const [i, { name }] of made.model.specs.entries()) {
      a[i]!.forEach((value, at) => {
        expect(Math.abs(value - b[i]![at]!), name).toBeLessThanOrEqual(2 ** -8 * Math.abs(b[i]![at]!));
      });
    }
    await made.trainer.trainStep(batches(1)[0]!, 1e-2);
    const after = await made.weights();
    made.model.specs.forEach(({ name, decay }, i) => {
      const words = new Uint32Array(after[i]!.buffer);
      expect(
        words.every(word => (word & 0xffff) === 0),
        name,
      ).toBe(decay);
    });
    made.destroy();
    plain.destroy();
  });

  test('learn as those in f32 do, with steps that are far below their last digits', async () => {
    const data = batches(120);
    for (const precision of precisions()) {
      const losses: Record<string, number> = {};
      for (const weightType of ['bf16', 'f32'] as const) {
        const made = await make({ precision, weightType });
        const all: number[] = [];
        for (const [i, sequences] of data.entries()) {
          made.trainer.submit(sequences, 3e-3);
          if (i % 40 === 39) all.push(...(await made.trainer.reports()).map(({ loss }) => loss));
        }
        losses[weightType] = all.slice(-20).reduce((sum, loss) => sum + loss / 20, 0);
        expect(losses[weightType]).toBeLessThan(0.6 * all[0]!);
        made.destroy();
      }
      expect(Math.abs(losses.bf16! / losses.f32! - 1), precision).toBeLessThan(0.03);
    }
  });

  test('give the same bits every time', async () => {
    const run = async () => {
      const made = await make();
      for (const sequences of batches(5)) await made.trainer.trainStep(sequences, 3e-3);
      const weights = await made.weights();
      made.destroy();
      return weights;
    };
    expect(await run()).toEqual(await run());
  });

  test('are updated with their own gradients where a buffer of gradients ends among those of norms', () => {
    const { adapter } = context.device;
    const aligned = ({ parts }: { parts: readonly { shape: readonly number[] }[] }) =>
      128 * Math.ceil(parts.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0) / 128);
    const matrices = parameterGroups(config)
      .filter(({ decay }) => decay)
      .reduce((sum, group) => sum + aligned(group), 0);
    const limits = { ...adapter.limits, maxBufferSize: 4 * (matrices + 128) }; // room for one norm
    const memory = new MemoryCount({ ...adapter, limits });
    const model = new ModelTensors(memory, config, { weightType: 'bf16' });
    const optimizer = { ...ADAMW_DEFAULTS };
    const { gradients, update } = new TracedStep(memory, model, {
      B,
      T,
      microBatches: 1,
      optimizer,
      momentType: '8bit',
    });
    expect(gradients.buffers).toHaveLength(2);
    const updates = update.nodes.filter(({ op }) => op === 'adamw');
    expect(updates.length).toBeGreaterThan(1);
    for (const { inputs, updates: written } of updates) {
      expect(sizeOf(inputs[0]!.shape), inputs[0]!.name).toBe(sizeOf(written![0]!.shape));
    }
  });

  test('are refused with moments in f32, an average, and matrices of an odd number of elements', async () => {
    await expect(make({ momentType: 'f32' })).rejects.toThrow(/weightType bf16 goes with moments in 8 bits/);
    await expect(make({ emaDecay: 0.99 })).rejects.toThrow(/weightType bf16 has no room .* average/);
    const odd = { ...config, vocabSize: 131, hiddenSize: 35, headDim: 34 };
    await expect(createModel(context.device, odd, { weightType: 'bf16' })).rejects.toThrow(
      /'model.embed_tokens.weight' \[131, 35\] has an odd number of elements, which bf16 has no place for/,
    );
  });
});
