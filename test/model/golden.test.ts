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

  test('ten losses and norms, and the weights after 1, 2 and 10 AdamW steps', async () => {
    const model = await loadModel(context.device, goldenFolder);
    const trainer = await Trainer.create(model, { B, T, microBatches: 1, optimizer });
    const gradients = goldenTensors('gradients_step0');
    const norm = golden.gradient_norms_before_clipping[0]!;
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
      for (const [name, values] of goldenTensors(`weights_step${step + 1}`)) {
        const actual = await model.read(name);
        const gradient = gradients.get(name)!;
        const gradientError = TENSOR * gradient.reduce((largest, g) => Math.max(largest, Math.abs(g)), 0);
        const factor = Math.min(1, optimizer.clip / norm);
        let squares = 0;
        for (let i = 0; i < values.length; i++) squares += (actual[i]! - values[i]!) ** 2;
        const rms = Math.sqrt(squares / values.length);
        // most elements have gradients far above their error: on the whole the step is right to a thousandth
        expect(rms, `${name} after step ${step + 1}, root mean square`).toBeLessThan(1e-3 * learningRate);
        for (let i = 0; i < values.length; i++) {
          // AdamW divides a gradient by its own size, and so passes on its relative error: at step 1 the update is
          // lr g/(|g| + eps), whose derivative is lr eps/(|g| + eps)². An element whose gradient is no larger than its
          // error can move anywhere between -lr and lr; later steps mix gradients and are bounded by that alone, per
          // step, where the gradient is small, and by a thousandth of it elsewhere.
          const g = Math.max(0, Math.abs(gradient[i]!) - gradientError) * factor;
          const first = (learningRate * optimizer.eps * gradientError * factor) / (g + optimizer.eps) ** 2;
          const small = Math.abs(gradient[i]!) < 1e3 * gradientError;
          const later = (step + 1) * learningRate * (small ? 1 : 1e-2);
          const bound =
            4 * U * Math.abs(values[i]!) +
            Math.min(2 * learningRate, 10 * U * learningRate + (step === 0 ? first : later));
          expect(Math.abs(actual[i]! - values[i]!), `${name}[${i}] after step ${step + 1}`).toBeLessThan(bound);
        }
      }
    }
    trainer.destroy();
    model.destroy();
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
