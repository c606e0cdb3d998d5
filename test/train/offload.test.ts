/** Training with AdamW's moments in host memory: the bits of a training with moments on the device. */
import { describe, expect, test, vi } from 'vitest';
import { sizeOf } from '../../src/autograd/tensor.js';
import { createModel, Trainer } from '../../src/index.js';
import { HealthProbe } from '../../src/train/health-probe.js';
import type { TrainerOptions } from '../../src/train/step.js';
import { type Bug, withBug } from '../support/bug.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { nearlyCounting } from '../support/sequences.js';

const context = useDevice();
/** No matrix is whole blocks, and some are no whole number of fours. */
const config = smallModel({ vocabSize: 131, hiddenSize: 34, intermediateSize: 45, numAttentionHeads: 1 });
const [B, T] = [2, 19];
/** Pieces of a few blocks, so that matrices are in several. */
const slotBytes = 5000;

interface Options extends Partial<TrainerOptions> {
  readonly precision?: 'f32' | 'f16';
  readonly weightType?: 'f32' | 'bf16';
}

async function make(options: Options = {}) {
  const { precision = 'f32', weightType = 'f32', ...settings } = options;
  const model = await createModel(context.device, config, { seed: 3, precision, weightType });
  const trainer = await Trainer.create(model, { B, T, slotBytes, ...settings });
  const frozen = (settings.parameterGroups ?? []).some(({ frozen: isFrozen }) => isFrozen);
  const specs = frozen ? trainer.trained : model.specs;
  const state = async () => ({
    weights: await Promise.all(model.specs.map(({ name }) => model.read(name))),
    moments: await Promise.all(specs.map(({ name }) => trainer.moments(name))),
    scaler: await trainer.scaler(),
  });
  const destroy = () => {
    trainer.destroy();
    model.destroy();
  };
  return { model, trainer, state, destroy };
}

const batches = (count: number, sequences = B) =>
  nearlyCounting(count, { B: sequences, T, vocabSize: config.vocabSize });

describe('moments in host memory', () => {
  const cases: [string, Options][] = [
    ['f32', {}],
    ['f32, in sixteenths', { slotBytes: undefined }],
    ['8 bits', { momentType: '8bit' }],
    ['weights in bf16', { momentType: '8bit', weightType: 'bf16' }],
    ['f16', { precision: 'f16' }],
    ['f16, 8 bits, bf16', { precision: 'f16', momentType: '8bit', weightType: 'bf16' }],
    ['micro-batches', { microBatches: 2 }],
    ['an average', { emaDecay: 0.9 }],
    ['frozen at first', { frozenSteps: 2 }],
    ['frozen at first, 8 bits', { frozenSteps: 2, momentType: '8bit' }],
    [
      'frozen, new rows',
      {
        parameterGroups: [
          { match: ['model.layers.0.*'], frozen: true },
          { match: ['model.embed_tokens.weight'], newRows: 100 },
        ],
      } as Options,
    ],
  ];
  test.each(cases)('give the same bits in weights, moments and reports: %s', async (_, options) => {
    if (options.precision === 'f16' && !context.device.adapter.features.includes('shader-f16')) return;
    const data = batches(4, B * (options.microBatches ?? 1));
    const ends = [];
    for (const offload of ['none', 'moments'] as const) {
      const made = await make({ ...options, offload });
      const reports = [];
      for (const sequences of data) {
        await made.trainer.submit(sequences, 1e-2);
        if (sequences === data[1]) reports.push(...(await made.trainer.reports()));
      }
      reports.push(...(await made.trainer.reports()));
      const { average } = made.trainer;
      const averaged = average && (await average.inPlace(() => made.model.read('model.norm.weight')));
      ends.push({ reports, averaged, ...(await made.state()) });
      made.destroy();
    }
    expect(ends[0]!.reports).toHaveLength(4);
    expect(ends[0]!.moments.some(({ m }) => m.some(value => value !== 0))).toBe(true);
    expect(ends[1]).toEqual(ends[0]);
  });

  test.each(['f32', '8bit'] as const)('go on where they were put back: %s', async momentType => {
    const data = batches(4);
    const whole = await make({ momentType });
    for (const sequences of data) await whole.trainer.submit(sequences, 1e-2);
    const first = await make({ momentType });
    for (const sequences of data.slice(0, 2)) await first.trainer.submit(sequences, 1e-2);
    const second = await make({ momentType, offload: 'moments' });
    const { weights, moments } = await first.state();
    second.model.specs.forEach(({ name }, i) => {
      second.model.writePart(name, group => second.model.weight(group), weights[i]!);
    });
    const coded = new Map(
      await Promise.all(
        first.model.groups
          .filter(({ decay }) => decay && momentType === '8bit')
          .map(async ({ name }) => [name, await first.trainer.codedMoments(name)] as const),
      ),
    );
    const momentsOf = (name: string) => moments[first.model.specs.findIndex(spec => spec.name === name)]!;
    second.trainer.restore(2, momentsOf, { guard: await first.trainer.guard(), codedOf: group => coded.get(group) });
    for (const sequences of data.slice(2)) await second.trainer.submit(sequences, 1e-2);
    expect(await second.state()).toEqual(await whole.state());
    for (const made of [whole, first, second]) made.destroy();
  });

  test('stay where they are in steps that do not update them', async () => {
    const made = await make({ offload: 'moments', frozenSteps: 1 });
    const write = vi.spyOn(context.device, 'write');
    const read = vi.spyOn(context.device, 'readStaging');
    const embedding = 2 * 4 * config.vocabSize * config.hiddenSize;
    const matrices = made.model.groups.filter(({ decay }) => decay);
    const all = matrices.reduce((sum, { shape }) => sum + 2 * 4 * sizeOf(shape), 0);
    for (const [sequences, expected] of [
      [batches(2)[0]!, embedding],
      [batches(2)[1]!, all],
    ] as const) {
      for (const spy of [write, read]) spy.mockClear();
      await made.trainer.submit(sequences, 1e-2);
      const written = write.mock.calls.filter(([{ label }]) => label === 'slot of moments');
      const bytes = written.reduce((sum, [, { byteLength }]) => sum + byteLength, 0);
      // parts of a slot begin at multiples of 256 bytes, matrices in a stretch at multiples of 512
      const gaps = 256 * written.length + 2 * 512 * matrices.length;
      expect(bytes).toBeGreaterThanOrEqual(expected);
      expect(bytes).toBeLessThan(expected + gaps);
      expect(read.mock.calls).toHaveLength(written.length);
    }
    vi.restoreAllMocks();
    made.destroy();
  });

  test('stay as they are in a step that is not finite', async () => {
    const [first, second] = batches(2);
    const finite = 'let loss_is_finite = is_finite(loss[0]);';
    const bug: Bug = { kernel: 'gradient_norm', edits: [[finite, `${finite.slice(0, -1)} && schedule.step != 2u;`]] };
    for (const momentType of ['f32', '8bit'] as const) {
      const optimizer = { mostSkipped: 2 };
      const made = await withBug(context.device, bug, () => make({ momentType, optimizer, offload: 'moments' }));
      await made.trainer.trainStep(first!, 1e-2);
      const before = await made.state();
      expect((await made.trainer.trainStep(second!, 1e-2)).skipped).toBe('not finite');
      expect(await made.state()).toEqual(before);
      made.destroy();
    }
  });

  test('ask for a step to be with the device before the next, and for moments on the device to see health', async () => {
    const [first, second] = batches(2);
    const made = await make({ offload: 'moments' });
    const submitted = made.trainer.submit(first!, 1e-2);
    expect(() => made.trainer.submit(second!, 1e-2)).toThrow(/the step before is still being submitted/);
    await submitted;
    await made.trainer.submit(second!, 1e-2);
    expect(await made.trainer.reports()).toHaveLength(2);
    await expect(HealthProbe.create(made.trainer)).rejects.toThrow(/leave out offload, or health/);
    made.destroy();
  });
});
