/** Training in f16: steps at which the loss scale grows, steps that overflow, layers that are computed again. */
import { isDeepStrictEqual } from 'node:util';
import { describe, expect, test, vi } from 'vitest';
import { Graph } from '../../src/autograd/graph.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import { createModel, type Model, type OptimizerSettings, type StepHealth, Trainer } from '../../src/index.js';
import { Random } from '../../src/random.js';
import { type Bug, withBug } from '../support/bug.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';

const context = useDevice();
const config = smallModel({
  vocabSize: 61,
  hiddenSize: 48,
  intermediateSize: 90,
  numAttentionHeads: 4,
  numKeyValueHeads: 2,
});
const optimizer: OptimizerSettings = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
const [B, T] = [4, 19];
const random = new Random(11);
const batches = Array.from({ length: 6 }, () =>
  Uint32Array.from({ length: B * (T + 1) }, () => random.integer(config.vocabSize)),
);

const noBug: Bug = { kernel: 'gradient_norm', edits: [] };

const hasHalf = () => context.device.adapter.features.includes('shader-f16');

interface Options {
  readonly checkpointing?: 'layer' | 'none';
  readonly frozenSteps?: number;
  readonly earlierUpdates?: number;
  readonly bug?: Bug | undefined;
}

interface Made {
  readonly model: Model;
  readonly trainer: Trainer;
  destroy(): void;
}

async function make(settings: Partial<OptimizerSettings> = {}, { bug, ...rest }: Options = {}): Promise<Made> {
  const model = await createModel(context.device, config, { seed: 3, precision: 'f16' });
  const all = { B, T, microBatches: 1, optimizer: { ...optimizer, ...settings }, ...rest };
  const trainer = await withBug(context.device, bug ?? noBug, () => Trainer.create(model, all));
  const destroy = () => {
    trainer.destroy();
    model.destroy();
  };
  return { model, trainer, destroy };
}

const byName = async <V>({ model }: Made, read: (name: string) => Promise<V>) =>
  new Map(await Promise.all(model.specs.map(async ({ name }) => [name, await read(name)] as const)));
const weightsOf = (made: Made) => byName(made, name => made.model.read(name));
const momentsOf = (made: Made) => byName(made, name => made.trainer.moments(name));

/** Goes on with another loss scale; the moments and the powers of β stay. */
async function setScale(made: Made, lossScale: number): Promise<void> {
  const [moments, scaler] = [await momentsOf(made), (await made.trainer.scaler())!];
  made.trainer.restore(made.trainer.step, name => moments.get(name)!, {
    scaling: Float32Array.of(lossScale, 0, ...scaler.slice(2)),
  });
}

/** Where two values are not the same bits, by what they are of. */
const unequal = (a: object, b: object): string[] => {
  const [left, right] = [Object.entries(a), Object.values(b)];
  return left.flatMap(([key, value], i) => (isDeepStrictEqual(value, right[i]) ? [] : [key]));
};

describe('a step at which the loss scale grows', () => {
  const [first, interval, steps] = [2 ** 15, 3, 4];

  async function run(settings: Partial<OptimizerSettings>, bug?: Bug) {
    const made = await make(settings, { bug });
    const states = [];
    for (const sequences of batches.slice(0, steps)) {
      const { lossScale, ...health } = await made.trainer.trainStep(sequences, 1e-2);
      const gradients = new Map(
        [...(await made.trainer.gradients())].map(([name, scaled]) => [name, scaled.map(g => g / lossScale)]),
      );
      states.push({ lossScale, health, gradients, moments: await momentsOf(made), weights: await weightsOf(made) });
    }
    made.destroy();
    return states;
  }

  /** How far apart, as a share of the second's norm, what two steps have of a parameter is at most. */
  function furthest<V>(a: Map<string, V>, b: Map<string, V>, valuesOf: (of: V) => Float32Array): number {
    const shares = [...b].map(([name, of]) => {
      const [values, other] = [valuesOf(of), valuesOf(a.get(name)!)];
      return Math.hypot(...values.map((x, i) => x - other[i]!)) / Math.hypot(...values);
    });
    return Math.max(...shares);
  }

  /** What differs between a run whose scale doubles after its third step and one whose scale stays. */
  async function differences(clip: number, bug?: Bug): Promise<string[]> {
    const [grown, constant] = [await run({ clip, lossScaleInterval: interval }, bug), await run({ clip })];
    // until then, and in the update after which it grows, the same bits
    const found = grown.slice(0, interval).flatMap((state, i) => {
      return unequal(state, constant[i]!).map(what => `${what} of step ${i + 1}`);
    });
    const [a, b] = [grown[interval]!, constant[interval]!];
    if (a.lossScale !== 2 * first || b.lossScale !== first) found.push(`loss scale of step ${interval + 1}`);
    // A power of two scales a half exactly. What differs is below the smallest normal half at one of the scales, 2^-29
    // of a gradient or less, where most of a gradient's elements are above 2^-12: 1e-4 leaves room for sums of them.
    const shares = {
      norm: Math.abs(a.health.gradientNorm / b.health.gradientNorm - 1),
      gradients: furthest(a.gradients, b.gradients, values => values),
      m: furthest(a.moments, b.moments, ({ m }) => m),
      v: furthest(a.moments, b.moments, ({ v }) => v),
      weights: furthest(a.weights, b.weights, values => values),
    };
    for (const [what, share] of Object.entries(shares))
      if (!(share < 1e-4)) found.push(`${what} of step ${interval + 1}`);
    return found;
  }

  test.each([0, 0.5])('is, with the one after it, as at a constant scale, with clip %d', async clip => {
    if (!hasHalf()) return;
    expect(await differences(clip)).toEqual([]);
  });

  const newScale: [string, string] = ['norm > params.clip) / loss_scale;', 'norm > params.clip) / scaler.loss_scale;'];
  test.each([
    ['the scale of the next step on this one', [newScale], ['moments of step 3', 'weights of step 3']],
    [
      'the same, in the norm too',
      [newScale, ['health.norm = norm;', 'health.norm = sqrt(total) / scaler.loss_scale;']],
      ['health of step 3', 'moments of step 3', 'weights of step 3'],
    ],
    [
      'the scale of the step before on the one after',
      [
        [
          'let loss_scale = scaler.loss_scale;',
          'let loss_scale = select(scaler.loss_scale, health.loss_scale, schedule.step > 1u);',
        ],
      ],
      ['gradients of step 4', 'm of step 4', 'norm of step 4'],
    ],
  ] as [string, [string, string][], string[]][])('tells %s', async (_, edits, expected) => {
    if (!hasHalf()) return;
    expect(await differences(0, { kernel: 'gradient_norm', edits })).toEqual(expect.arrayContaining(expected));
  });
});

describe('a step that overflows', () => {
  const after = [1e-5, 2e-5, 3e-5]; // so low that the gradients stay what they are, and none overflows
  const [before, sequences] = batches as [Uint32Array, Uint32Array];

  /** A first step; as many that overflow as are asked for; three more, which begin at this scale. */
  async function run(scale: number, overflows: number, options: Options) {
    const made = await make({}, options);
    await made.trainer.trainStep(before, 1e-2);
    await setScale(made, scale * 2 ** overflows);
    for (let i = 0; i < overflows; i++) made.trainer.submit(sequences, 1);
    for (const learningRate of after) made.trainer.submit(sequences, learningRate);
    const reports = await made.trainer.reports();
    const state = {
      reports: reports.slice(overflows),
      weights: await weightsOf(made),
      moments: await momentsOf(made),
      scaler: (await made.trainer.scaler())!,
    };
    const result = { state, skipped: reports.map(({ skipped }) => skipped), step: made.trainer.step };
    made.destroy();
    return result;
  }

  /** The largest scale at which the second step does not overflow. */
  async function largestScale(options: Options): Promise<number> {
    const made = await make({}, options);
    await made.trainer.trainStep(before, 1e-2);
    await setScale(made, 2 ** 30);
    let report: StepHealth;
    do report = await made.trainer.trainStep(sequences, 0);
    while (report.skipped && report.lossScale > 2);
    made.destroy();
    return report.lossScale;
  }

  const halved = 'scaler.loss_scale = 0.5f * loss_scale;';
  const powers = 'scaler.power1 *= params.beta1; scaler.power2 *= params.beta2;';
  const inNorm = (...edits: [string, string][]): Bug => ({ kernel: 'gradient_norm', edits });
  const byStep = [1, 2].map((i): [string, string] => [
    `health.correction${i} = 1f / (1f - scaler.power${i});`,
    `health.correction${i} = schedule.correction${i};`,
  ]);
  const bugs: [Bug, string[]][] = [
    [inNorm([halved, `${halved} ${powers}`]), ['weights', 'scaler']],
    [inNorm(...byStep), ['weights']],
    [{ kernel: 'adamw', edits: [[' || health.skipped != 0u', '']] }, ['weights', 'moments']],
  ];
  const bodyBugs: [Bug, string[]][] = [
    [inNorm(['skipped != 0u || stage_schedules', 'stage_schedules']), ['weights', 'scaler']],
    [inNorm(['stage_schedules[SCHEDULE_STRIDE * s].correction1 = 1f / (1f - powers.x);', '']), ['weights']],
  ];

  test.each([
    ['all are trained', 0, [4], bugs],
    ['some were frozen for the first step', 1, [4, 3], bodyBugs],
  ] as const)('leaves no trace but in the scale, where %s', async (_, frozenSteps, updates, bugs) => {
    if (!hasHalf()) return;
    const scale = await largestScale({ frozenSteps });
    const without = await run(scale, 0, { frozenSteps });
    expect(without.skipped).toEqual(Array(3).fill(undefined));
    const expected = updates.flatMap(t => [0.9 ** t, 0.95 ** t]);
    const found = [...without.state.scaler.slice(2)];
    expect(found).toEqual(expected.map(power => expect.closeTo(power, 6)));
    for (const overflows of [1, 3]) {
      const { state, skipped, step } = await run(scale, overflows, { frozenSteps });
      expect(skipped).toEqual([...Array(overflows).fill('overflow'), undefined, undefined, undefined]);
      expect(unequal(state, without.state), `${overflows} overflows`).toEqual([]);
      // the run counts batches: its learning rate goes on
      expect(step).toBe(without.step + overflows);
    }
    for (const [bug, traces] of bugs) {
      const { state } = await run(scale, 1, { frozenSteps, bug });
      expect(unequal(state, without.state), bug.edits.join()).toEqual(expect.arrayContaining(traces));
    }
  });
});

test("powers of β go on from another run's, for what is frozen at first too", async () => {
  if (!hasHalf()) return;
  const made = await make({}, { frozenSteps: 1, earlierUpdates: 5 });
  const moments = await momentsOf(made);
  // of the five steps one had overflowed
  made.trainer.restore(0, name => moments.get(name)!, { scaling: Float32Array.of(2 ** 15, 0, 0.9 ** 4, 0.95 ** 4) });
  for (const sequences of batches.slice(0, 2)) await made.trainer.trainStep(sequences, 1e-3);
  const powers = [6, 5].flatMap(t => [0.9 ** t, 0.95 ** t]);
  expect([...(await made.trainer.scaler())!.slice(2)]).toEqual(powers.map(power => expect.closeTo(power, 6)));
  made.destroy();
});

describe('layers that are computed again', () => {
  async function run(checkpointing: 'layer' | 'none') {
    const made = await make({ lossScaleInterval: 2 }, { checkpointing });
    for (const sequences of batches) made.trainer.submit(sequences, 1e-2);
    const reports = await made.trainer.reports();
    const state = { reports, weights: await weightsOf(made), moments: await momentsOf(made) };
    made.destroy();
    return state;
  }

  test('give the bits of layers that are kept, while the loss scale grows', async () => {
    if (!hasHalf()) return;
    const [kept, again] = [await run('none'), await run('layer')];
    expect(kept.reports.map(({ lossScale }) => Math.log2(lossScale))).toEqual([15, 15, 16, 16, 17, 17]);
    expect(kept.reports.some(({ skipped }) => skipped)).toBe(false);
    expect(unequal(again, kept)).toEqual([]);

    // a layer that is computed again from what went into the layer before
    const checkpoint = Graph.prototype.checkpoint;
    let last: Tensor | undefined;
    const spy = vi.spyOn(Graph.prototype, 'checkpoint').mockImplementation(function (this: Graph, input, trace) {
      const earlier = last ?? input;
      last = input;
      let traces = 0;
      return checkpoint.call(this, input, x => trace(traces++ === 0 ? x : earlier));
    });
    const wrong = await run('layer');
    spy.mockRestore();
    expect(wrong.reports[0]!.loss, 'the first loss knows no gradient').toBe(kept.reports[0]!.loss);
    expect(unequal(wrong, kept)).toEqual(['reports', 'weights', 'moments']);
  });
});
