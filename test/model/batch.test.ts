/** What the library's functions say to ids, shapes and models that are not sound: JavaScript checks none of it. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CachedModel,
  createModel,
  generate,
  logits,
  logLikelihoods,
  loss,
  lossAndGradients,
  type Model,
  sequencesOf,
  TokenLosses,
  Trainer,
  textLoss,
  UserError,
} from '../../src/index.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';

const context = useDevice();
const config = smallModel({
  vocabSize: 31,
  hiddenSize: 16,
  intermediateSize: 24,
  numHiddenLayers: 1,
  numAttentionHeads: 2,
  numKeyValueHeads: 1,
});
const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
const step = { B: 1, T: 8, microBatches: 2, optimizer };
const cache = { B: 2, T: 4, capacity: 8 };
const ids = (count: number) => new Uint32Array(count).fill(3);
/** As JavaScript may give it. */
const as = <Value>(value: unknown) => value as Value;

let model: Model;
let trainer: Trainer;
let losses: TokenLosses;
let cached: CachedModel;
const make = async () => {
  model = await createModel(context.device, config, { seed: 1 });
  trainer = await Trainer.create(model, step);
  losses = await TokenLosses.create(model, { B: 2, T: 8 });
  cached = await CachedModel.create(model, cache);
};
const destroy = () => {
  for (const made of [cached, losses, trainer, model]) made.destroy();
};

/** Each in the words of a UserError, whether it is thrown at once or later. */
async function refused(body: () => unknown, message: RegExp | string): Promise<void> {
  const error = await (async () => body())().catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UserError);
  expect((error as Error).message).toMatch(message);
}

describe('refused', () => {
  beforeAll(make);
  afterAll(destroy);

  const functions = { loss, logits, lossAndGradients };
  describe.each(Object.entries(functions))('by %s', (name, run) => {
    const length = name === 'logits' ? 8 : 9;
    test.each([
      ['too few ids', ids(5), { B: 1, T: 8 }, `5 token ids are not [1, ${length}]: ${length} are expected`],
      ['more ids', ids(2 * length), { B: 1, T: 8 }, `${2 * length} token ids are not [1, ${length}]`],
      ['a half of T', ids(length), { B: 1, T: 8.5 }, 'T is 8.5; it must be a whole number above 0'],
      ['no B', ids(0), { B: 0, T: 8 }, 'B is 0; it must be a whole number above 0'],
      ['no shape', ids(length), {}, 'B is undefined; it must be a whole number above 0'],
      ['an array', [...ids(length)], { B: 1, T: 8 }, 'token ids must be a Uint32Array, not Array;'],
      ['floats', new Float32Array(length).fill(1.7), { B: 1, T: 8 }, 'must be a Uint32Array, not Float32Array;'],
      ['no ids', undefined, { B: 1, T: 8 }, 'must be a Uint32Array, not undefined;'],
      [
        'an id of no token',
        ids(length).fill(31),
        { B: 1, T: 8 },
        "token id 31 is outside the model's vocabulary of 31",
      ],
    ])('%s', async (_, given, shape, message) => {
      await refused(() => run(model, as(given), as(shape)), message);
    });
  });

  const others: [string, () => unknown, string][] = [
    ['a trainer without B', () => Trainer.create(model, { ...step, B: 0 }), 'B is 0'],
    ['half a micro-batch', () => Trainer.create(model, { ...step, microBatches: 1.5 }), 'microBatches is 1.5'],
    ['a step of one sequence', () => trainer.trainStep(ids(9), 1e-3), '9 token ids are not [2, 9]: 18 are expected'],
    ['a step of an array', () => trainer.trainStep(as([...ids(18)]), 1e-3), 'must be a Uint32Array, not Array'],
    ['losses without T', () => TokenLosses.create(model, { B: 1, T: 0 }), 'T is 0'],
    ['a part of a sequence', () => losses.of(ids(10)), '10 token ids are not [2, 9]'],
    ['more sequences than planned', () => losses.of(ids(27)), '27 token ids are not [2, 9]'],
    ['no sequence', () => losses.of(ids(0)), '0 token ids are not [1, 9]'],
    [
      'a text in an array',
      () => textLoss(losses, { ids: as([1, 2]), bytes: 2, markIds: new Set([0]) }),
      'must be a Uint32Array, not Array',
    ],
    [
      'a text of one token',
      () => textLoss(losses, { ids: ids(1), bytes: 1, markIds: new Set([0]) }),
      'needs at least 2',
    ],
    ['sequences of no length', () => sequencesOf(ids(3), 0), 'T is 0'],
    [
      'a span from the first id',
      () => logLikelihoods(model, [{ ids: [1, 2, 3], start: 0 }], { batchTokens: 64 }),
      'a span from 0 of 3 ids cannot be scored; it begins at a whole number from 1 to 2',
    ],
    [
      'a fraction to score',
      () => logLikelihoods(model, [{ ids: [1, 2.7, 3], start: 1 }], { batchTokens: 64 }),
      'token id 2.7 is outside',
    ],
    [
      'a negative id to score',
      () => logLikelihoods(model, [{ ids: [1, -1, 3], start: 1 }], { batchTokens: 64 }),
      'token id -1 is outside',
    ],
    [
      'no batch to score',
      () => logLikelihoods(model, [{ ids: [1, 2], start: 1 }], { batchTokens: 0 }),
      'batchTokens is 0',
    ],
    ['a cache without B', () => CachedModel.create(model, { ...cache, B: 0 }), 'B is 0'],
    ['a cache of a fraction', () => CachedModel.create(model, { ...cache, T: 4.5 }), 'T is 4.5'],
    ['a prompt too few', () => cached.prefill([[1]]), '1 prompts were given to a cache of 2 sequences'],
    ['a prompt too long', () => cached.prefill([[1], [1, 2, 3, 4, 5]]), 'a prompt has 5 tokens, not 1 … 4'],
    ['a fraction in a prompt', () => cached.prefill([[1], [1.7]]), 'token id 1.7 is outside'],
    ['a fraction as the newest token', () => cached.decode([1, 1.7]), 'token id 1.7 is outside'],
    ['a token too few', () => cached.decode([1]), '1 tokens were given to a cache of 2 sequences'],
    [
      'a prompt of fractions to continue',
      () => generate(model, [[1.7]], async () => '', { maxTokens: 2, temperature: 0 }),
      'token id 1.7 is outside',
    ],
  ];
  test.each(others)('%s', async (_, body, message) => {
    await refused(body, message);
  });
});

describe('a model that was destroyed', () => {
  beforeAll(async () => {
    await make();
    model.destroy();
  });
  afterAll(destroy);

  const uses: [string, () => unknown][] = [
    ['loss', () => loss(model, ids(9), { B: 1, T: 8 })],
    ['logits', () => logits(model, ids(8), { B: 1, T: 8 })],
    ['lossAndGradients', () => lossAndGradients(model, ids(9), { B: 1, T: 8 })],
    ['a trainer', () => trainer.trainStep(ids(18), 1e-3)],
    ['a new trainer', () => Trainer.create(model, step)],
    ['losses', () => losses.of(ids(9))],
    ['a cache', () => cached.prefill([[1], [2]])],
    ['a new cache', () => CachedModel.create(model, cache)],
    ['scoring', () => logLikelihoods(model, [{ ids: [1, 2], start: 1 }], { batchTokens: 64 })],
    ['generating', () => generate(model, [[1]], async () => '', { maxTokens: 2, temperature: 0 })],
    ['reading', () => model.read('model.norm.weight')],
  ];
  test.each(uses)('is told to %s', async (_, body) => {
    await refused(body, 'the model was destroyed');
  });
});

test('what was planned and destroyed is told so, and the device goes on', async () => {
  await make();
  losses.destroy();
  trainer.destroy();
  cached.destroy();
  await refused(() => losses.of(ids(9)), "'packed batch of token losses' was freed by destroy()");
  await refused(() => trainer.trainStep(ids(18), 1e-3), "'packed batch' was freed by destroy()");
  await refused(() => cached.prefill([[1], [2]]), "'prompt ids' was freed by destroy()");
  expect(await loss(model, ids(9), { B: 1, T: 8 })).toBeGreaterThan(0);
  model.destroy();
});
