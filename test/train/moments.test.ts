/** Training with AdamW's moments in 8 bits. */
import { describe, expect, test } from 'vitest';
import { adamw8bitCase } from '../../src/cases/adamw-8bit.js';
import { createModel, Trainer } from '../../src/index.js';
import type { KernelCall } from '../../src/kernels/call.js';
import { VariantTable } from '../../src/kernels/variants.js';
import { HealthProbe } from '../../src/train/health-probe.js';
import type { TrainerOptions } from '../../src/train/step.js';
import { type Bug, withBug } from '../support/bug.js';
import { faultsOf } from '../support/cases.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { nearlyCounting } from '../support/sequences.js';

const context = useDevice();
/** Norms keep their moments in f32. No matrix is whole blocks, and gate with up is no whole number of fours. */
const config = smallModel({ vocabSize: 131, hiddenSize: 34, intermediateSize: 45, numAttentionHeads: 1 });
const [B, T] = [4, 19];
const precisions = () =>
  (['f32', 'f16'] as const).filter(type => type === 'f32' || context.device.adapter.features.includes('shader-f16'));

const batches = (count: number) => nearlyCounting(count, { B, T, vocabSize: config.vocabSize });

async function make(options: Partial<TrainerOptions> & { readonly precision?: 'f32' | 'f16' } = {}) {
  const { precision = 'f32', ...settings } = options;
  const model = await createModel(context.device, config, { seed: 3, precision });
  const trainer = await Trainer.create(model, { B, T, momentType: '8bit', ...settings });
  const weights = async () => Promise.all(model.specs.map(({ name }) => model.read(name)));
  const moments = async () => Promise.all(model.specs.map(({ name }) => trainer.moments(name)));
  const destroy = () => {
    trainer.destroy();
    model.destroy();
  };
  return { model, trainer, weights, moments, destroy };
}

describe('moments in 8 bits', () => {
  test('are those of f32 to half a part of a code after a step, and the weights, which go by them unrounded', async () => {
    const [sequences] = batches(1);
    for (const precision of precisions()) {
      const optimizer = { clip: 0 }; // the parts that a norm is summed by are not the same
      const [coded, plain] = [
        await make({ precision, optimizer }),
        await make({ precision, optimizer, momentType: 'f32' }),
      ];
      for (const { trainer } of [coded, plain]) await trainer.trainStep(sequences!, 1e-2);
      const [a, b] = [await coded.weights(), await plain.weights()];
      const [roundedMoments, exactMoments] = [await coded.moments(), await plain.moments()];
      coded.model.specs.forEach(({ name }, i) => {
        // one update of at most the learning rate, in f32 both, in another order
        a[i]!.forEach((value, at) => {
          expect(Math.abs(value - b[i]![at]!), name).toBeLessThan(1e-2 * 2 ** -18 + 2 ** -23 * Math.abs(value));
        });
        const [rounded, exact] = [roundedMoments[i]!, exactMoments[i]!];
        const isExact = rounded.m.every((value, at) => value === exact.m[at]);
        expect(isExact, name).toBe(/norm/.test(name));
        // no more than half a part of the largest power of ten, of which m has 64, v 128; Q, K and V share blocks
        const groupOf = (other: string) => coded.model.place(other).group;
        const most = (moment: 'm' | 'v') =>
          coded.model.specs.reduce((largest, other, at) => {
            if (groupOf(other.name) !== groupOf(name)) return largest;
            return exactMoments[at]![moment].reduce((sofar, value) => Math.max(sofar, Math.abs(value)), largest);
          }, 0);
        for (const [moment, parts] of [
          ['m', 64],
          ['v', 128],
        ] as const) {
          const bound = (0.51 * 0.9 * most(moment)) / parts;
          rounded[moment].forEach((value, at) => {
            expect(Math.abs(value - exact[moment][at]!), `${name} ${moment}`).toBeLessThan(bound);
          });
        }
      });
      coded.destroy();
      plain.destroy();
    }
  });

  test('learn as those in f32 do', async () => {
    const data = batches(120);
    const losses: Record<string, number> = {};
    for (const momentType of ['8bit', 'f32'] as const) {
      const made = await make({ momentType });
      const all: number[] = [];
      for (const [i, sequences] of data.entries()) {
        made.trainer.submit(sequences, 3e-3);
        if (i % 40 === 39) all.push(...(await made.trainer.reports()).map(({ loss }) => loss));
      }
      losses[momentType] = all.slice(-20).reduce((sum, loss) => sum + loss / 20, 0);
      expect(losses[momentType]).toBeLessThan(0.6 * all[0]!);
      made.destroy();
    }
    // two runs of f32 with other seeds differ by some hundredths
    expect(Math.abs(losses['8bit']! / losses.f32! - 1)).toBeLessThan(0.02);
  });

  test('stay as they are while they are frozen and in a step that is skipped', async () => {
    const [first, second] = batches(2);
    const frozen = await make({ frozenSteps: 1 });
    await frozen.trainer.trainStep(first!, 1e-2);
    const body = await frozen.trainer.moments('model.layers.0.mlp.up_proj.weight');
    expect(body.m.every(value => value === 0) && body.v.every(value => value === 0)).toBe(true);
    await frozen.trainer.trainStep(second!, 1e-2);
    const moved = await frozen.trainer.moments('model.layers.0.mlp.up_proj.weight');
    expect(moved.m.some(value => value !== 0)).toBe(true);
    frozen.destroy();

    const finite = 'let loss_is_finite = is_finite(loss[0]);';
    const bug: Bug = { kernel: 'gradient_norm', edits: [[finite, `${finite.slice(0, -1)} && schedule.step != 2u;`]] };
    const skipped = await withBug(context.device, bug, () => make({ optimizer: { mostSkipped: 2 } }));
    await skipped.trainer.trainStep(first!, 1e-2);
    const before = [await skipped.weights(), await skipped.moments()];
    expect((await skipped.trainer.trainStep(second!, 1e-2)).skipped).toBe('not finite');
    expect([await skipped.weights(), await skipped.moments()]).toEqual(before);
    skipped.destroy();
  });

  test('are seen by a probe as the host sees them', async () => {
    const made = await make();
    const probe = await HealthProbe.create(made.trainer);
    const name = 'model.embed_tokens.weight';
    for (const sequences of batches(3)) await made.trainer.trainStep(sequences, 1e-2);
    const line = await probe.measure(1e-2);
    const seen = line.parameters.find(parameter => parameter.name === name)!;
    const { m, v } = await made.trainer.moments(name);
    const weight = await made.model.read(name);
    const { beta1, beta2, eps } = made.trainer.settings.optimizer;
    const [correction1, correction2] = [1 / (1 - beta1 ** 3), 1 / (1 - beta2 ** 3)];
    const rms = (values: ArrayLike<number>) =>
      Math.sqrt(Array.from(values).reduce((sum, value) => sum + value * value, 0) / values.length);
    const update = m.map((mean, i) => (mean * correction1) / (Math.sqrt(v[i]! * correction2) + eps));
    const expected = (1e-2 * rms(update)) / rms(weight);
    expect(Math.abs(seen.updateToWeight / expected - 1)).toBeLessThan(1e-5);
    probe.destroy();
    made.destroy();
  });

  test('beyond a binding are taken window by window', async () => {
    const { device } = context;
    const one = adamw8bitCase({ count: 20_001 });
    const limits = { ...device.adapter.limits, maxStorageBufferBindingSize: 40_000 };
    const table = new VariantTable({ ...device.adapter, limits });
    let calls = 0;
    const counted: typeof one.calls = (...given) => {
      const made = one.calls(...given);
      calls = made.length;
      return made;
    };
    const problem = { ...one, calls: counted, variants: [{ name: 'in windows', table }] };
    expect([...(await faultsOf(device, problem)).values()]).toEqual([]);
    expect(calls).toBe(3);
  });

  test('each bug of the kernel is caught by its case', async () => {
    const { device } = context;
    const bugs: [string, string][] = [
      ['before.y', 'before.x'],
      ['largest.y = reduce_max(largest.y, thread);', 'largest.y = largest.x;'],
      ['largest.x = reduce_max(largest.x, thread);', ''],
      ['above, vec4u(127u) - u, means < vec4f()', 'above, vec4u(128u) - u, means < vec4f()'],
      ['vec4u(max((scaled - vec4f(0.1f))', 'vec4u(max((scaled - vec4f(0.11f))'],
      ['codes[quad] = vec2u', 'codes[quad + 1u] = vec2u'],
    ];
    for (const [from, to] of bugs) {
      const problem = {
        ...adamw8bitCase({ count: 1003 }),
        variants: [{ name: 'only', table: new VariantTable(device.adapter) }],
      };
      const alter = (call: KernelCall) => {
        expect(call.source).toContain(from);
        return { ...call, source: call.source.replaceAll(from, to) };
      };
      const faults = await faultsOf(device, problem, { fillWorkgroups: false, alter });
      expect(faults.size, to).toBe(1);
    }
  });
});
