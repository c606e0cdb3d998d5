/** Training with groups of parameters: rates and decays of their own, what is frozen, rows that are kept. */
import { describe, expect, test } from 'vitest';
import { createModel, type Model, Trainer } from '../../src/index.js';
import { gamma } from '../../src/numerics/bounds.js';
import { adamw, globalNorm } from '../../src/numerics/reference.js';
import { adamwBounds } from '../../src/numerics/update-bounds.js';
import type { ParameterRule } from '../../src/train/parameter-rules.js';
import { SharedStep } from '../../src/train/shared-step.js';
import type { TrainerOptions } from '../../src/train/step.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';
import { ranksOfOneProcess } from '../support/ranks.js';
import { nearlyCounting } from '../support/sequences.js';

const context = useDevice();
const config = smallModel({
  ...{ vocabSize: 61, hiddenSize: 34, intermediateSize: 46, numAttentionHeads: 1 },
  tieWordEmbeddings: false,
});
const [B, T] = [4, 19];
const LEARNING_RATE = Math.fround(1e-2);
const KEPT_ROWS = 41; // with 34 columns no whole number of vectors
const batches = (count: number) => nearlyCounting(count, { B, T, vocabSize: config.vocabSize });
const isTable = (name: string) => /embed_tokens|lm_head/.test(name);
const isFrozen = (name: string) => name.startsWith('model.layers.0.');

/** The norms' rate and decay are their own, the first layer is frozen, the second at first, old rows are kept. */
const rules: readonly ParameterRule[] = [
  { match: ['model.layers.0.*'], frozen: true },
  { match: ['*norm*'], learningRate: 0.25, weightDecay: 0.5 },
  { match: ['model.layers.1.*'], frozenSteps: 2 },
  { match: ['model.embed_tokens.weight', 'lm_head.weight'], keptRows: KEPT_ROWS },
];

interface Made extends Partial<TrainerOptions> {
  readonly precision?: 'f32' | 'f16';
  readonly weightType?: 'f32' | 'bf16';
}

async function make({ precision = 'f32', weightType = 'f32', ...settings }: Made = {}) {
  const model = await createModel(context.device, config, { seed: 3, precision, weightType });
  const trainer = await Trainer.create(model, { B, T, parameterGroups: rules, ...settings });
  const destroy = () => {
    trainer.destroy();
    model.destroy();
  };
  return { model, trainer, destroy };
}

async function weightsOf(model: Model): Promise<Map<string, Float32Array>> {
  const weights = new Map<string, Float32Array>();
  for (const { name } of model.specs) weights.set(name, await model.read(name));
  return weights;
}

/** Whether values are the same bits from an element on to another. */
const same = (a: Float32Array, b: Float32Array, from = 0, to = a.length): boolean => {
  const bits = (values: Float32Array) => new Uint32Array(values.buffer, values.byteOffset + 4 * from, to - from);
  return bits(a).every((word, i) => word === bits(b)[i]);
};

function expectKept(before: Map<string, Float32Array>, after: Map<string, Float32Array>, step: number): void {
  const kept = KEPT_ROWS * config.hiddenSize;
  for (const [name, values] of after) {
    const isWaiting = name.startsWith('model.layers.1.') && !/norm/.test(name) && step <= 2;
    const first = isTable(name) ? kept : 0;
    if (isFrozen(name) || isWaiting) expect(same(values, before.get(name)!), name).toBe(true);
    else {
      expect(same(values, before.get(name)!, 0, first), `old rows of ${name}`).toBe(true);
      expect(same(values, before.get(name)!, first), name).toBe(false);
    }
  }
}

describe('groups of parameters', () => {
  test('are updated as AdamW in float64 does, each with its own rate, decay and count of updates', async () => {
    const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 0 };
    const { model, trainer, destroy } = await make({ optimizer });
    const trained = trainer.trained.map(({ name }) => name);
    expect(trained).toEqual(model.specs.map(({ name }) => name).filter(name => !isFrozen(name)));
    let before = await weightsOf(model);
    for (const [i, sequences] of batches(4).entries()) {
      const step = i + 1;
      const moments = new Map(
        await Promise.all(trained.map(async name => [name, await trainer.moments(name)] as const)),
      );
      const report = await trainer.trainStep(sequences, LEARNING_RATE);
      const gradients = await trainer.gradients();
      expect([...gradients.keys()]).toEqual(trained);
      const after = await weightsOf(model);
      expectKept(before, after, step);
      const followed: Float64Array[] = [];
      for (const [name, gradient] of gradients) {
        const isNorm = /norm/.test(name);
        const frozenSteps = name.startsWith('model.layers.1.') && !isNorm ? 2 : 0;
        if (step <= frozenSteps) continue;
        const first = isTable(name) ? KEPT_ROWS * config.hiddenSize : 0;
        const own = (values: Float32Array) => Float64Array.from(values.subarray(first));
        followed.push(own(gradient));
        const { m, v } = moments.get(name)!;
        const state = { parameter: own(before.get(name)!), m: own(m), v: own(v) };
        const updates = step - frozenSteps;
        const settings = {
          ...optimizer,
          weightDecay: isNorm ? 0.5 : 0.1,
          lr: LEARNING_RATE * (isNorm ? 0.25 : 1),
          clipFactor: 1,
          step: updates,
        };
        const corrections = {
          correction1: 1 / (1 - optimizer.beta1 ** updates),
          correction2: 1 / (1 - optimizer.beta2 ** updates),
        };
        const bounds = adamwBounds(state, own(gradient), { ...settings, ...corrections });
        adamw(state, own(gradient), settings);
        own(after.get(name)!).forEach((value, at) => {
          const off = Math.abs(value - state.parameter[at]!);
          expect(off, `${name} ${at} at step ${step}`).toBeLessThanOrEqual(bounds.parameter[at]!);
        });
      }
      // a sum of some thousand squares in f32
      const norm = globalNorm(followed);
      expect(Math.abs(report.gradientNorm - norm)).toBeLessThan(gamma(10_000) * norm);
      before = after;
    }
    destroy();
  });

  test('gradients of what is frozen are neither kept nor computed', async () => {
    const [some, all] = [await make(), await make({ parameterGroups: [] })];
    const ops = ({ trainer }: typeof some, op: string) => trainer.plans[0]!.nodes.filter(node => node.op === op).length;
    // QKV, o, gate with up, down of each layer
    expect([ops(all, 'linear_weight'), ops(some, 'linear_weight')]).toEqual([8, 4]);
    expect(some.trainer.plans[0]!.commands.length).toBeLessThan(all.trainer.plans[0]!.commands.length);
    const last = await make({
      parameterGroups: [{ match: ['model.norm.weight', 'lm_head.weight'] }, { match: ['*'], frozen: true }],
    });
    // nothing goes back below the last norm, checkpointed or not
    const backwards = last.trainer.plans[0]!.nodes.filter(({ name }) => name.includes('gradient'));
    expect(backwards.map(({ op }) => op)).toEqual(['rmsnorm_backward']);
    const { device } = context;
    await expect(last.trainer.moments('model.embed_tokens.weight')).rejects.toThrow(/is frozen, and has no moments/);
    expect((await last.trainer.trainStep(batches(1)[0]!, LEARNING_RATE)).loss).toBeGreaterThan(0);
    expect(device.memory.bytes).toBeGreaterThan(0);
    for (const { destroy } of [some, all, last]) destroy();
  });

  test.each([
    ['moments in 8 bits', { momentType: '8bit' }],
    ['weights in bf16', { momentType: '8bit', weightType: 'bf16' }],
    ['micro-batches and checkpointing', { B: 2, microBatches: 2, checkpointing: 'layer' }],
    ['an average of weights', { emaDecay: 0.9 }],
    ['f16', { precision: 'f16' }],
    ['f16, weights in bf16', { precision: 'f16', momentType: '8bit', weightType: 'bf16' }],
  ] as const)('keep what is to be kept, and train the rest: %s', async (_, options) => {
    if ('precision' in options && !context.device.adapter.features.includes('shader-f16')) return;
    const { model, trainer, destroy } = await make(options);
    let before = await weightsOf(model);
    let step = 0;
    for (const sequences of batches(5)) {
      const { skipped } = await trainer.trainStep(sequences, LEARNING_RATE);
      if (skipped) continue; // the loss scale of f16 comes down
      const after = await weightsOf(model);
      step = trainer.step;
      if (skipped === undefined) expectKept(before, after, step);
      before = after;
    }
    expect(step).toBe(5);
    destroy();
  });

  test('are the same on two ranks', async () => {
    const shares = await Promise.all([0, 1].map(() => make({ B: 2, sharers: 2 })));
    const ranks = ranksOfOneProcess(2);
    const steps = shares.map(({ trainer }, i) => new SharedStep(trainer, ranks[i]!, { wire: 'f32' }));
    const before = await weightsOf(shares[0]!.model);
    const half = (B / 2) * (T + 1);
    for (const batch of batches(3)) {
      await Promise.all(steps.map((step, i) => step.submit(batch.slice(i * half, (i + 1) * half), LEARNING_RATE)));
      const [first, second] = await Promise.all(shares.map(({ trainer }) => trainer.reports()));
      expect(first).toEqual(second);
    }
    const [a, b] = await Promise.all(shares.map(({ model }) => weightsOf(model)));
    expect(a).toEqual(b);
    expectKept(before, a!, 3);
    for (const { destroy } of shares) destroy();
  });
});
