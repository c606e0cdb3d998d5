/**
 * The engine against PyTorch in float64, through the public interface. Bounds: a float32 run is off by what hundreds of
 * roundings a value, u = 2^-24 ≈ 6e-8 each, add up to; they grow like a random walk, so that 100 u of the scale of a
 * tensor is a generous allowance for a model of this depth (at most 20 u were measured on three adapters), and a wrong
 * kernel misses it by orders of magnitude. What that does to weights: src/numerics/adamw-run.ts.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { loadModel, logits, loss, lossAndGradients, type Model, saveModel, Trainer } from '../../src/index.js';
import { AdamwRun, type StepGradients } from '../../src/numerics/adamw-run.js';
import { U } from '../../src/numerics/bounds.js';
import { compare } from '../../src/numerics/compare.js';
import { llama, trainLlama } from '../../src/numerics/llama.js';
import { adamw, globalNorm } from '../../src/numerics/reference.js';
import { Random } from '../../src/random.js';
import { type Bug, withBug } from '../support/bug.js';
import {
  B,
  golden,
  goldenFolder,
  goldenShape,
  goldenTensors,
  learningRate,
  optimizer,
  sequences,
  T,
} from '../support/golden.js';
import { expectWithin, useDevice } from '../support/gpu.js';
import { readTensors } from '../support/safetensors.js';

const context = useDevice();
const TENSOR = 100 * U;

function worst(actual: Float32Array, expected: ArrayLike<number>): { error: number; scale: number } {
  let [error, scale] = [0, 0];
  Array.from(expected).forEach((value, i) => {
    const difference = Math.abs(value - actual[i]!);
    if (!(difference <= error)) error = difference;
    scale = Math.max(scale, Math.abs(value));
  });
  return { error, scale };
}

function expectGradient(actual: Float32Array, expected: ArrayLike<number>, what: string): void {
  const { error, scale } = worst(actual, expected);
  expect(error, what).toBeLessThan(TENSOR * scale);
}

const start = goldenTensors('model');
const isMatrix = (name: string) => !name.includes('norm');
const runSettings = {
  ...optimizer,
  decay: (name: string) => (isMatrix(name) ? optimizer.weightDecay : 0),
  roundoff: TENSOR,
};

/** Loss, gradients and their norm in float64, on the tokens of a step. */
function gradientsAt(weights: ReadonlyMap<string, ArrayLike<number>>, step: number): StepGradients & { loss: number } {
  const exact = new Map([...weights].map(([name, values]) => [name, Float64Array.from(values)]));
  const [ids, targets] = [
    golden.tokens[step]!.flatMap(s => s.slice(0, -1)),
    golden.tokens[step]!.flatMap(s => s.slice(1)),
  ];
  const { loss, gradients } = llama(goldenShape, exact, ids, targets, T);
  return { loss, gradients, norm: globalNorm(gradients.values()) };
}

/** What the float64 run has at each of its ten steps; it is PyTorch's (test/numerics/llama.test.ts). */
const float64: (StepGradients & { loss: number })[] = [];
beforeAll(() => {
  const weights = new Map([...start].map(([name, values]) => [name, Float64Array.from(values)]));
  trainLlama(
    goldenShape,
    weights,
    golden.tokens,
    { lr: learningRate, ...optimizer },
    isMatrix,
    (_, { loss, gradients }) => {
      float64.push({ loss, gradients, norm: globalNorm(gradients.values()) });
    },
  );
});

const weightsOf = async (model: Model) =>
  new Map(await Promise.all(model.specs.map(async ({ name }) => [name, await model.read(name)] as const)));

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
    for (const [name, values] of expected) expectGradient(gradients.get(name)!, values, name);
    model.destroy();
  });

  test('ten losses and norms, every gradient, and the weights after each of ten AdamW steps', async () => {
    const model = await loadModel(context.device, goldenFolder);
    const trainer = await Trainer.create(model, { B, T, microBatches: 1, optimizer });
    const run = new AdamwRun(start, runSettings);
    for (let step = 0; step < 10; step++) {
      const exact = step === 0 ? float64[0]! : gradientsAt(await weightsOf(model), step);
      const health = await trainer.trainStep(sequences(step), learningRate);
      expect(health.badStep).toBe(0);
      for (const [value, here, stored] of [
        [health.loss, exact.loss, golden.losses[step]!],
        [health.gradientNorm, exact.norm, golden.gradient_norms_before_clipping[step]!],
      ] as const) {
        expect(Math.abs(value - here), `at the run's own weights, step ${step}`).toBeLessThan(TENSOR * here);
        // and what the weights are off by
        expect(Math.abs(value - stored), `step ${step}`).toBeLessThan((step === 0 ? 1 : 10) * TENSOR * stored);
      }
      const gradients = await trainer.gradients();
      for (const [name, values] of exact.gradients) expectGradient(gradients.get(name)!, values, `${name}, ${step}`);
      run.advance(float64[step]!, exact, learningRate);
      for (const [name, actual] of await weightsOf(model)) {
        expectWithin(actual, run.weights.get(name)!, run.bounds.get(name)!, `${name} after step ${step + 1}`);
      }
      if (![1, 2, 10].includes(step + 1)) continue;
      for (const [name, stored] of goldenTensors(`weights_step${step + 1}`)) {
        const bound = run.bounds.get(name)!.map((own, i) => own + U * Math.abs(stored[i]!));
        expectWithin(await model.read(name), Float64Array.from(stored), bound, `${name}, PyTorch, step ${step + 1}`);
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

describe('the bound on weights after AdamW steps', () => {
  const noBug: Bug = { kernel: 'adamw', edits: [] };
  test('holds for a run in f32 whose gradients are off by all that they may be, so that signs flip', () => {
    const run = new AdamwRun(start, runSettings);
    const random = new Random(1, 'errors of gradients');
    const states = new Map(
      [...start].map(([name, values]) => {
        const zeros = () => new Float64Array(values.length);
        return [name, { parameter: Float64Array.from(values), m: zeros(), v: zeros() }];
      }),
    );
    let furthest = 0;
    for (let step = 0; step < 5; step++) {
      const weights = new Map([...states].map(([name, { parameter }]) => [name, parameter]));
      const exact = step === 0 ? float64[0]! : gradientsAt(weights, step);
      const noisy = new Map(
        [...exact.gradients].map(([name, values]) => {
          const off = TENSOR * values.reduce((largest, g) => Math.max(largest, Math.abs(g)), 0);
          return [name, values.map(g => (g === 0 ? 0 : g + (random.uniform() < 0.5 ? off : -off)))];
        }),
      );
      const clipFactor = Math.min(1, optimizer.clip / globalNorm(noisy.values()));
      run.advance(float64[step]!, exact, learningRate);
      for (const [name, state] of states) {
        const weightDecay = runSettings.decay(name);
        adamw(state, noisy.get(name)!, { ...optimizer, lr: learningRate, weightDecay, clipFactor, step: step + 1 });
        for (const values of Object.values(state)) values.set(Float32Array.from(values));
        const expected = run.weights.get(name)!;
        const actual = Float32Array.from(state.parameter);
        expectWithin(actual, expected, run.bounds.get(name)!, `${name} after step ${step + 1}`);
        actual.forEach((value, i) => {
          furthest = Math.max(furthest, Math.abs(value - expected[i]!));
        });
      }
    }
    expect(furthest, 'an update went the other way').toBeGreaterThan(learningRate);
  });

  /** The first wrong step of the engine with a bug in it at these rates; the float64 run goes by `right`. */
  async function firstWrong(bug: Bug, rates: readonly number[], right = rates): Promise<number | undefined> {
    const model = await loadModel(context.device, goldenFolder);
    const make = () => Trainer.create(model, { B, T, microBatches: 1, optimizer });
    const trainer = await withBug(context.device, bug, make);
    const run = new AdamwRun(start, runSettings);
    let found: number | undefined;
    for (let step = 0; step < rates.length && found === undefined; step++) {
      const exact = step === 0 ? float64[0]! : gradientsAt(await weightsOf(model), step);
      const own = step === 0 ? float64[0]! : gradientsAt(run.weights, step);
      await trainer.trainStep(sequences(step), rates[step]!);
      run.advance(own, exact, right[step]!);
      const wrong = [...(await weightsOf(model))].some(
        ([name, actual]) => !compare(actual, run.weights.get(name)!, run.bounds.get(name)!).passed,
      );
      if (wrong) found = step + 1;
    }
    trainer.destroy();
    model.destroy();
    return found;
  }

  const constant = [learningRate, learningRate];
  const inAdamw = (from: string, to: string): Bug => ({ kernel: 'adamw', edits: [[from, to]] });
  test.each([
    ['no bug', noBug, undefined],
    [
      'ε inside the root',
      inAdamw('(sqrt(variance * correction2) + params.eps)', 'sqrt(variance * correction2 + params.eps)'),
      1,
    ],
    ['no bias correction of m', inAdamw('correction1 = health.correction1', 'correction1 = 1f'), 1],
    ['no bias correction of v', inAdamw('correction2 = health.correction2', 'correction2 = 1f'), 1],
    [
      'β2^(t+1) for β2^t',
      inAdamw('= health.correction2', '= 1f / (1f - params.beta2 * (1f - 1f / health.correction2))'),
      1,
    ],
    ['decay of norms', inAdamw('rate * params.decay', 'rate * 0.1f'), 1],
    [
      'decay inside the gradient',
      inAdamw(
        'bitcast<VALUE>(gradient_bits(i)) * health.scale',
        'bitcast<VALUE>(gradient_bits(i)) * health.scale + params.decay * parameter[i]',
      ),
      1,
    ],
    [
      'the clip factor left out',
      inAdamw('bitcast<VALUE>(gradient_bits(i)) * health.scale', 'bitcast<VALUE>(gradient_bits(i))'),
      1,
    ],
    ['β1 m kept whole', inAdamw('params.beta1 * m[i]', 'm[i]'), 2],
  ] as const)('tells a wrong step by its weights: %s', async (_, bug, step) => {
    expect(await firstWrong(bug, constant)).toBe(step);
  });

  test('tells the learning rate of the step before', async () => {
    const [right, late] = [
      [0.5 * learningRate, learningRate],
      [0.5 * learningRate, 0.5 * learningRate],
    ];
    expect(await firstWrong(noBug, right)).toBe(undefined);
    expect(await firstWrong(noBug, late, right)).toBe(2);
  });
});
