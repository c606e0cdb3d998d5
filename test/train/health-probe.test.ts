/** The health of a run: numbers against the host's, warnings, and that watching changes nothing. */
import { describe, expect, test } from 'vitest';
import type { ModelConfig } from '../../src/model/config.js';
import { initialWeights } from '../../src/model/init.js';
import { initialAdapter, isOfAdapter } from '../../src/model/lora.js';
import { Model } from '../../src/model/model.js';
import { gamma } from '../../src/numerics/bounds.js';
import { HEALTH_LIMITS, healthWarnings } from '../../src/run/health.js';
import { type HealthLine, HealthProbe } from '../../src/train/health-probe.js';
import { Trainer } from '../../src/train/step.js';
import { B, goldenShape, optimizer, sequences, T } from '../support/golden.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const learningRate = 1e-3;

async function trainer(): Promise<{ model: Model; trainer: Trainer }> {
  const model = await Model.create(context.device, goldenShape, initialWeights(goldenShape, 3));
  return { model, trainer: await Trainer.create(model, { B, T, microBatches: 1, optimizer }) };
}

const rms = (values: Iterable<number>, count: number): number => {
  let sum = 0;
  for (const value of values) sum += value * value;
  return Math.sqrt(sum / count);
};

describe('a probe', () => {
  test('sees what the host sees, and changes no bit of the run', async () => {
    const [watched, alone] = [await trainer(), await trainer()];
    const probe = await HealthProbe.create(watched.trainer);
    const name = 'model.norm.weight';
    let line: HealthLine | undefined;
    let before: Float32Array | undefined;
    for (let step = 0; step < 3; step++) {
      before = await watched.model.read(name);
      await watched.trainer.trainStep(sequences(step), learningRate);
      line = await probe.measure(learningRate);
      await alone.trainer.trainStep(sequences(step), learningRate);
    }
    expect(line!.step).toBe(3);
    expect(line!.lossScale).toBe(1);
    const seen = line!.parameters.find(parameter => parameter.name === name)!;
    const weight = await watched.model.read(name);
    const gradient = (await watched.trainer.gradients()).get(name)!;
    const count = weight.length;
    const tolerance = gamma(2 * count);
    expect(seen.weight.amax).toBe(Math.max(...weight.map(Math.abs)));
    expect(Math.abs(seen.weight.rms / rms(weight, count) - 1)).toBeLessThan(tolerance);
    expect(seen.gradient.amax).toBe(Math.max(...gradient.map(Math.abs)));
    expect(Math.abs(seen.gradient.rms / rms(gradient, count) - 1)).toBeLessThan(tolerance);
    expect(seen.gradient.zeros).toBe(gradient.filter(value => value === 0).length / count);
    expect(seen.gradient.nonFinite).toBe(0);
    // norms have no decay: the update is what the weights moved by, as far as f32 around 1 tells
    const moved = rms(
      weight.map((value, i) => value - before![i]!),
      count,
    );
    expect(Math.abs(seen.updateToWeight / (moved / rms(weight, count)) - 1)).toBeLessThan(2e-4);
    for (const { name: each } of watched.model.specs) {
      expect(await watched.model.read(each), each).toEqual(await alone.model.read(each));
    }
    probe.destroy();
    for (const { model, trainer } of [watched, alone]) {
      trainer.destroy();
      model.destroy();
    }
  });

  test.each(['f32', '8bit'] as const)(
    'warns of no adapter in its first steps, and of a dead one: moments in %s',
    async momentType => {
      const lora = { rank: 2, alpha: 4, targets: ['q_proj', 'v_proj', 'down_proj'] as const };
      const [base, adapter] = [initialWeights(goldenShape, 3), initialAdapter(3)];
      const model = await Model.create(
        context.device,
        goldenShape,
        spec => (isOfAdapter(spec.name) ? adapter(spec) : base(spec)),
        { lora: { ...lora, targets: [...lora.targets] } },
      );
      const run = await Trainer.create(model, { B, T, microBatches: 1, optimizer, momentType });
      const probe = await HealthProbe.create(run);
      const lines: HealthLine[] = [];
      for (let step = 0; step < 3; step++) {
        await run.trainStep(sequences(step), learningRate);
        lines.push(await probe.measure(learningRate));
      }
      const [first, , third] = lines as [HealthLine, HealthLine, HealthLine];
      const isA = ({ name }: { name: string }) => name.endsWith('lora_A.weight');
      expect(first.parameters.filter(isA).every(({ gradient }) => gradient.zeros === 1)).toBe(true);
      expect(lines.flatMap(line => healthWarnings(line, HEALTH_LIMITS))).toEqual([]);
      // the same zeros where B has moved before
      const dead = third.parameters.find(isA)!;
      const zeros = { ...dead, gradient: { ...dead.gradient, amax: 0, rms: 0, zeros: 1 }, updateToWeight: 0 };
      const parameters = third.parameters.map(one => (one === dead ? zeros : one));
      expect(healthWarnings({ ...third, parameters }, HEALTH_LIMITS)).toEqual([
        `step 3: ${dead.name}: update to weight is 0 (at least 1e-7)`,
        `step 3: ${dead.name}: the share of gradients that are 0 is 1 (at most 0.5)`,
      ]);
      probe.destroy();
      run.destroy();
      model.destroy();
    },
  );

  const gemma: Partial<ModelConfig> = {
    normPlacement: 'both',
    normUnitOffset: true,
    qkNorm: true,
    hiddenAct: 'gelu_pytorch_tanh',
    scaledEmbeddings: true,
  };
  test.each<[string, Partial<ModelConfig>]>([
    ['biases', { qkvBias: true }],
    ['norms by 1 + weight', gemma],
  ])('warns of nothing in the first steps of a new model whose %s are 0 at first', async (_, traits) => {
    const config = { ...goldenShape, ...traits };
    const model = await Model.create(context.device, config, initialWeights(config, 3));
    const run = await Trainer.create(model, { B, T, microBatches: 1, optimizer });
    const probe = await HealthProbe.create(run);
    const warnings: string[] = [];
    for (let step = 0; step < 3; step++) {
      await run.trainStep(sequences(step), learningRate / 2); // as warm-up would begin
      warnings.push(...healthWarnings(await probe.measure(learningRate / 2), HEALTH_LIMITS));
    }
    expect(warnings).toEqual([]);
    probe.destroy();
    run.destroy();
    model.destroy();
  });

  test('counts what is not finite', async () => {
    const { model, trainer: run } = await trainer();
    const values = Float32Array.of(Number.NaN, Number.NEGATIVE_INFINITY, 0, 1e-40);
    model.writePart('model.norm.weight', group => model.weight(group), values);
    const probe = await HealthProbe.create(run);
    const line = await probe.measure(learningRate);
    const { weight: seen } = line.parameters.find(({ name }) => name === 'model.norm.weight')!;
    expect(seen.nonFinite).toBe(2);
    expect(seen.zeros * 64).toBe(1);
    expect(seen.subnormal * 64).toBe(1);
    expect(healthWarnings(line, HEALTH_LIMITS).join()).toContain('weights that are not finite is 2');
    probe.destroy();
    run.destroy();
    model.destroy();
  });
});

describe('warnings', () => {
  const sound = { amax: 1, rms: 1, zeros: 0, subnormal: 0, nonFinite: 0 };
  const parameter = { name: 'w', weight: sound, gradient: sound, gradientToWeight: 1, updateToWeight: 1e-3 };
  const warningsOf = (more: Partial<typeof parameter>, lossScale = 1) =>
    healthWarnings({ kind: 'health', step: 5, lossScale, parameters: [{ ...parameter, ...more }] }, HEALTH_LIMITS);

  test('none for what is sound, one for each limit', () => {
    expect(warningsOf({})).toEqual([]);
    expect(warningsOf({ updateToWeight: 0.5 })).toEqual(['step 5: w: update to weight is 0.5 (at most 0.1)']);
    expect(warningsOf({ updateToWeight: 1e-9 })).toHaveLength(1);
    expect(warningsOf({ gradientToWeight: 1000 })).toHaveLength(1);
    expect(warningsOf({ gradient: { ...sound, zeros: 0.9 } })).toHaveLength(1);
    expect(warningsOf({ gradient: { ...sound, subnormal: 0.1 } })).toHaveLength(1);
    expect(warningsOf({}, 2)).toEqual(['step 5: the loss scale is 2 (at least 16)']);
    expect(warningsOf({}, 1024)).toEqual([]);
  });
});
