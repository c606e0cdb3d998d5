/**
 * The engine against PyTorch in float64, through the public interface. Bounds: a float32 run is off by what hundreds of
 * roundings a value, u = 2^-24 ≈ 6e-8 each, add up to; they grow like a random walk, so that 100 u of the scale of a
 * tensor is a generous allowance for a model of this depth, and a wrong kernel misses it by orders of magnitude.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadModel, logits, loss, lossAndGradients, saveModel, Trainer } from '../../src/index.js';
import { U } from '../../src/numerics/bounds.js';
import { Random } from '../../src/random.js';
import { adamwFloat64, type Mistake, updateAllowance } from '../support/adamw.js';
import { B, golden, goldenFolder, goldenTensors, learningRate, optimizer, sequences, T } from '../support/golden.js';
import { useDevice } from '../support/gpu.js';
import { readTensors } from '../support/safetensors.js';

const context = useDevice();
const TENSOR = 100 * U;

function worst(actual: Float32Array, expected: Float32Array): { error: number; scale: number } {
  let [error, scale] = [0, 0];
  expected.forEach((value, i) => {
    const difference = Math.abs(value - actual[i]!);
    if (!(difference <= error)) error = difference;
    scale = Math.max(scale, Math.abs(value));
  });
  return { error, scale };
}

describe('the golden model', () => {
  test('logits and loss', async () => {
    const model = await loadModel(context.device, goldenFolder);
    const ids = Uint32Array.from(golden.tokens[0]!.flatMap(sequence => sequence.slice(0, -1)));
    const { error, scale } = worst(await logits(model, ids, { B, T }), goldenTensors('logits_step0').get('logits')!);
    expect(error).toBeLessThan(TENSOR * scale);
    expect(Math.abs((await loss(model, sequences(0), { B, T })) - golden.losses[0]!)).toBeLessThan(
      TENSOR * golden.losses[0]!,
    );
    model.destroy();
  });

  test('every gradient', async () => {
    const model = await loadModel(context.device, goldenFolder);
    const { loss: value, gradients } = await lossAndGradients(model, sequences(0), { B, T });
    expect(Math.abs(value - golden.losses[0]!)).toBeLessThan(TENSOR * golden.losses[0]!);
    const expected = goldenTensors('gradients_step0');
    expect([...gradients.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [name, values] of expected) {
      const { error, scale } = worst(gradients.get(name)!, values);
      expect(error, name).toBeLessThan(TENSOR * scale);
    }
    model.destroy();
  });

  /** Compares weights with the golden ones of a step; the elements beyond the bound, by tensor. */
  function beyondBound(step: number, weightsOf: (name: string) => (i: number) => number): string[] {
    const gradients = goldenTensors('gradients_step0');
    const factor = Math.min(1, optimizer.clip / golden.gradient_norms_before_clipping[0]!);
    const allowanceOf = updateAllowance(step, optimizer);
    const beyond: string[] = [];
    for (const [name, values] of goldenTensors(`weights_step${step}`)) {
      const gradient = gradients.get(name)!;
      const weightOf = weightsOf(name);
      const scale = gradient.reduce((largest, g) => Math.max(largest, Math.abs(g)), 0);
      // as gradients are tested above, and the norm that clips them; those of later steps, which carry what the weights are
      // off by, ten times as much, as the losses below
      const allowed = (step === 1 ? 1 : 10) * TENSOR;
      for (let i = 0; i < values.length; i++) {
        const first = gradient[i]! * factor;
        const error = allowed * (scale * factor + Math.abs(first));
        const allowance = allowanceOf(first, error);
        // a few roundings a step: of the weight, and of the update, which is around 1
        const rounding = step * (4 * U * Math.abs(values[i]!) + 10 * U * learningRate);
        const difference = Math.abs(weightOf(i) - values[i]!);
        if (!(difference <= learningRate * allowance + rounding)) beyond.push(`${name}[${i}]: ${difference}`);
      }
    }
    return beyond;
  }

  test('ten losses and norms, and the weights after 1, 2 and 10 AdamW steps', async () => {
    const model = await loadModel(context.device, goldenFolder);
    const trainer = await Trainer.create(model, { B, T, microBatches: 1, optimizer });
    for (let step = 0; step < 10; step++) {
      const health = await trainer.trainStep(sequences(step), learningRate);
      // Losses of later steps also carry what the weights are off by: allow ten times as much.
      const allowance = (step === 0 ? 1 : 10) * TENSOR;
      expect(Math.abs(health.loss - golden.losses[step]!), `loss ${step}`).toBeLessThan(
        allowance * golden.losses[step]!,
      );
      const expectedNorm = golden.gradient_norms_before_clipping[step]!;
      expect(Math.abs(health.gradientNorm - expectedNorm), `norm ${step}`).toBeLessThan(allowance * expectedNorm);
      expect(health.badStep).toBe(0);
      if (![1, 2, 10].includes(step + 1)) continue;
      const weights = new Map<string, Float32Array>();
      for (const { name } of model.specs) weights.set(name, await model.read(name));
      expect(beyondBound(step + 1, name => i => weights.get(name)![i]!)).toEqual([]);
    }
    trainer.destroy();
    model.destroy();
  });

  test('another right AdamW is within the bounds on weights, a wrong one is not', async () => {
    const model = await loadModel(context.device, goldenFolder);
    const trainer = await Trainer.create(model, { B, T, microBatches: 1, optimizer });
    const gradients: Map<string, Float32Array>[] = [];
    for (let step = 0; step < 2; step++) {
      await trainer.trainStep(sequences(step), learningRate);
      gradients.push(await trainer.gradients());
    }
    const decays = new Map(model.specs.map(({ name, decay }) => [name, decay]));
    for (const made of [trainer, model]) made.destroy();
    const weights = goldenTensors('model');
    const norms = golden.gradient_norms_before_clipping;
    const random = new Random(3, 'errors');
    const scales = new Map(
      [...gradients[0]!].map(([name, g]) => [name, g.reduce((a, b) => Math.max(a, Math.abs(b)), 0)]),
    );
    /** Elements beyond the bound of an AdamW of its own on gradients of which each is off by a share of their scale. */
    const beyond = (
      step: number,
      errors: number,
      mistake: Mistake = {},
      decayed = (name: string) => decays.get(name)!,
    ) => {
      const weightsOf = (name: string) => {
        const [own, scale] = [weights.get(name)!, errors * scales.get(name)!];
        const given = gradients.slice(0, step).map(all => all.get(name)!);
        const decay = decayed(name) ? optimizer.weightDecay : 0;
        const settings = { ...optimizer, learningRate, decay };
        const off = () => (errors === 0 ? 0 : scale * random.normal());
        return (i: number) => {
          const all = given.map(gradient => gradient[i]! + off());
          return adamwFloat64(own[i]!, all, norms, settings, mistake);
        };
      };
      return beyondBound(step, weightsOf).length;
    };
    for (const step of [1, 2]) {
      expect(beyond(step, 0)).toBe(0);
      expect(beyond(step, 10 * U), 'gradients with other roundings').toBe(0);
      const wrong: readonly Mistake[] = [{ late: 1 }, { withoutCorrection: true }, { epsInRoot: true }];
      for (const mistake of wrong) expect(beyond(step, 0, mistake), JSON.stringify(mistake)).toBeGreaterThan(1000);
      expect(
        beyond(step, 0, {}, () => true),
        'decay of norms',
      ).toBeGreaterThan(100);
    }
    // in the first step these make no difference, but for eps
    expect(beyond(2, 0, { swappedBetas: true })).toBeGreaterThan(1000);
    expect(beyond(2, 0, { unclipped: true })).toBeGreaterThan(1000);
  });

  test('a saved model is byte for byte the one that was loaded, and gives the same logits', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'babelgrad-test-'));
    const model = await loadModel(context.device, goldenFolder);
    await saveModel(model, join(folder, 'saved'));
    const [saved, original] = [readTensors(join(folder, 'saved', 'model.safetensors')), goldenTensors('model')];
    expect([...saved.keys()].sort()).toEqual([...original.keys()].sort());
    for (const [name, values] of original) expect(saved.get(name), name).toEqual(values);
    const again = await loadModel(context.device, join(folder, 'saved'));
    const ids = Uint32Array.of(5, 6, 7, 8);
    expect(await logits(again, ids, { B: 1, T: 4 })).toEqual(await logits(model, ids, { B: 1, T: 4 }));
    for (const made of [model, again]) made.destroy();
    rmSync(folder, { recursive: true });
  });
});
