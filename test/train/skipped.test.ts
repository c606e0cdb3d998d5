/** Steps that are skipped: not finite, or spikes of the gradient norm, up to a number in a row. */
import { describe, expect, test } from 'vitest';
import { createModel, Trainer } from '../../src/index.js';
import type { OptimizerSettings } from '../../src/optim/adamw.js';
import { Random } from '../../src/random.js';
import { type Bug, withBug } from '../support/bug.js';
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
const [B, T] = [2, 16];
const batchOf = (seed: number): Uint32Array => {
  const random = new Random(seed);
  return Uint32Array.from({ length: B * (T + 1) }, () => random.integer(config.vocabSize));
};

/** Lets the kernel meet a loss that is not finite in some steps. */
const notFiniteIn = (...steps: number[]): Bug => ({
  kernel: 'gradient_norm',
  edits: [
    [
      'let loss_is_finite = is_finite(loss[0]);',
      `let loss_is_finite = is_finite(loss[0])${steps.map(step => ` && schedule.step != ${step}u`).join('')};`,
    ],
  ],
});

async function make(optimizer: Partial<OptimizerSettings>, bug: Bug) {
  const model = await createModel(context.device, config, { seed: 1 });
  const trainer = await withBug(context.device, bug, () => Trainer.create(model, { B, T, optimizer }));
  const state = async () => {
    const all: Float32Array[] = [];
    for (const { name } of model.specs) {
      const { m, v } = await trainer.moments(name);
      all.push(await model.read(name), m, v);
    }
    return all;
  };
  const destroy = () => {
    trainer.destroy();
    model.destroy();
  };
  return { trainer, state, destroy };
}

describe('a step that is not finite', () => {
  test('leaves weights and moments alone, and the next one goes on', async () => {
    const { trainer, state, destroy } = await make({ mostSkipped: 2 }, notFiniteIn(3, 4));
    const reports = [];
    const states = [];
    for (let step = 1; step <= 5; step++) {
      reports.push(await trainer.trainStep(batchOf(step), 1e-2));
      states.push(await state());
    }
    expect(reports.map(({ skipped }) => skipped)).toEqual([
      undefined,
      undefined,
      'not finite',
      'not finite',
      undefined,
    ]);
    expect(reports.map(({ badStep }) => badStep)).toEqual([0, 0, 0, 0, 0]);
    expect(states[2]).toEqual(states[1]);
    expect(states[3]).toEqual(states[1]);
    expect(states[4]).not.toEqual(states[1]);
    destroy();
  });

  test.each([
    ['one more in a row than may be skipped', 2, [3, 4, 5], 5],
    ['none may be skipped', 0, [3], 3],
    ['they are not in a row', 2, [2, 3, 5, 6], 0],
  ])('is a bad step, or none: %s', async (_, mostSkipped, steps, badStep) => {
    const { trainer, state, destroy } = await make({ mostSkipped }, notFiniteIn(...steps));
    const run = async (from: number, to: number) => {
      for (let step = from; step <= to; step++) trainer.submit(batchOf(step), 1e-2);
      return trainer.reports();
    };
    expect((await run(1, 6)).at(-1)!.badStep).toBe(badStep);
    const before = await state();
    const [after] = await run(7, 7);
    expect(after!.badStep, 'it stays').toBe(badStep);
    if (badStep) expect(await state(), 'nothing is updated any more').toEqual(before);
    else expect(await state()).not.toEqual(before);
    destroy();
  });
});

describe('a spike of the gradient norm', () => {
  const SPIKES = 26;
  /** Multiplies the norm of one step. */
  const spikeIn = (step: number): Bug => ({
    kernel: 'gradient_norm',
    edits: [
      ['let norm = sqrt(total) / loss_scale;', `let norm = sqrt(total) * select(1f, 50f, schedule.step == ${step}u);`],
    ],
  });

  test('is skipped once there is a mean to tell it by, and does not move the mean', async () => {
    const run = async (spike: number, step: number) => {
      const { trainer, destroy } = await make({ mostSkipped: 1, spike }, spikeIn(step));
      for (let at = 1; at <= 30; at++) trainer.submit(batchOf(at % 3), 1e-3);
      const reports = await trainer.reports();
      const [inRow, updates, mean] = [...(await trainer.guard())];
      destroy();
      const skipped = reports.flatMap(report => (report.skipped ? [report.skipped] : []));
      return { reports, skipped, inRow, updates, mean: new Float32Array(Uint32Array.of(mean!).buffer)[0]! };
    };
    const found = await run(10, SPIKES);
    expect(found.skipped).toEqual(['spike']);
    expect(found.reports[SPIKES - 1]!.skipped).toBe('spike');
    expect(found).toMatchObject({ inRow: 0, updates: 29 });
    const norms = found.reports.filter(({ skipped }) => !skipped).map(({ gradientNorm }) => gradientNorm);
    // the mean of 29 f32 numbers, each step of it rounded
    expect(found.mean).toBeCloseTo(norms.reduce((sum, norm) => sum + norm) / norms.length, 5);
    expect(found.reports[SPIKES - 1]!.gradientNorm).toBeGreaterThan(10 * found.mean);
    expect((await run(100, SPIKES)).skipped, 'below the factor').toEqual([]);
    expect((await run(0, SPIKES)).skipped, 'switched off').toEqual([]);
    expect((await run(10, 5)).skipped, 'before there is a mean').toEqual([]);
  });
});
