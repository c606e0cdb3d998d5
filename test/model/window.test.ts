/** A model with a sliding window: within it the same bits as without, beyond it refused with both figures. */
import { expect, test } from 'vitest';
import {
  CachedModel,
  createModel,
  generate,
  logits,
  logLikelihoods,
  loss,
  lossAndGradients,
  TokenLosses,
  Trainer,
  UserError,
} from '../../src/index.js';
import { useDevice } from '../support/gpu.js';
import { smallModel } from '../support/model.js';

const context = useDevice();
const config = smallModel({
  vocabSize: 26,
  hiddenSize: 16,
  intermediateSize: 24,
  numHiddenLayers: 1,
  numAttentionHeads: 2,
  maxPositionEmbeddings: 64,
});
const W = 16;
const ids = (count: number) => Uint32Array.from({ length: count }, (_, i) => (7 * i + 3) % 26);
const letters = async (text: readonly number[]) => text.map(id => String.fromCharCode(97 + id)).join('');
const greedy = { maxTokens: 100, temperature: 0 };

test('a window', async () => {
  const model = await createModel(context.device, { ...config, slidingWindow: W }, { seed: 11 });
  const full = await createModel(context.device, config, { seed: 11 });
  expect(await logits(model, ids(W), { B: 1, T: W })).toEqual(await logits(full, ids(W), { B: 1, T: W }));
  expect(await loss(model, ids(W + 1), { B: 1, T: W })).toBe(await loss(full, ids(W + 1), { B: 1, T: W }));
  // sequences that begin alike run as one tree, which may be longer than the window
  const branches = [1, 2, 3, 4].map(last => ({ ids: [...ids(W), last], start: 4 }));
  const scored = await logLikelihoods(model, branches, { batchTokens: 128 });
  expect(scored).toEqual(await logLikelihoods(full, branches, { batchTokens: 128 }));
  const { results } = await generate(model, [[3]], letters, greedy);
  expect(results[0]).toMatchObject({ finish: 'context', ids: { length: W - 1 } });
  expect(results).toEqual((await generate(full, [[3]], letters, { ...greedy, context: W })).results);

  const optimizer = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1, clip: 1 };
  const beyond = { B: 1, T: W + 1 };
  const refused: Record<string, () => Promise<unknown>> = {
    logits: () => logits(model, ids(W + 1), beyond),
    loss: () => loss(model, ids(W + 2), beyond),
    gradients: () => lossAndGradients(model, ids(W + 2), beyond),
    training: () => Trainer.create(model, { ...beyond, microBatches: 1, optimizer }),
    evaluation: () => TokenLosses.create(model, beyond),
    choices: () => logLikelihoods(model, [{ ids: ids(W + 2), start: 4 }], { batchTokens: 128 }),
    'a cache': () => CachedModel.create(model, { B: 1, T: 4, capacity: W + 1 }),
    generation: () => generate(model, [[3]], letters, { ...greedy, context: W + 1 }),
  };
  const before = context.device.memory.bytes;
  for (const [what, attempt] of Object.entries(refused)) {
    const outcome = attempt();
    await expect(outcome, what).rejects.toThrow("a context of 17 tokens exceeds the model's sliding window of 16");
    await expect(outcome, what).rejects.toThrow(UserError);
  }
  expect(context.device.memory.bytes).toBe(before);
  model.destroy();
  full.destroy();
});

test.each([0, 1.5])('of %d tokens is none', async slidingWindow => {
  const attempt = createModel(context.device, { ...config, slidingWindow }, { seed: 1 });
  await expect(attempt).rejects.toThrow(/slidingWindow is .*; it must be a positive whole number/);
});
