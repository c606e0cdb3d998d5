/** Log-likelihoods of spans against the float64 reference's logits. Bounds: see test/model/golden.test.ts. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  logLikelihoods,
  paddedLength,
  type ScoredTokens,
  spanLogLikelihoods,
  TokenLosses,
} from '../../src/eval/token-losses.js';
import { loadModel, type Model } from '../../src/index.js';
import { IGNORED_TARGET } from '../../src/kernels/rows.js';
import { U } from '../../src/numerics/bounds.js';
import { llama } from '../../src/numerics/llama.js';
import { Random } from '../../src/random.js';
import { goldenFolder, goldenShape, goldenTensors } from '../support/golden.js';
import { useDevice } from '../support/gpu.js';

const context = useDevice();
const weights = new Map([...goldenTensors('model')].map(([name, values]) => [name, Float64Array.from(values)]));
const random = new Random(5, 'spans');
const sequence = (length: number, start: number): ScoredTokens => ({
  ids: Array.from({ length }, () => random.integer(goldenShape.vocabSize)),
  start,
});

/** The log-likelihood of a span in float64, the sequence alone and unpadded; and what it may be off by. */
function reference({ ids, start }: ScoredTokens): { value: number; bound: number } {
  const inputs = Array.from(ids).slice(0, -1);
  const targets = Array.from(ids).slice(1);
  const { logits } = llama(goldenShape, weights, inputs, targets, inputs.length);
  const V = goldenShape.vocabSize;
  let value = 0;
  let bound = 0;
  for (let row = start - 1; row < inputs.length; row++) {
    const values = logits.slice(row * V, (row + 1) * V);
    const largest = Math.max(...values);
    const total = values.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
    value += values[targets[row]!]! - largest - Math.log(total);
    bound += 100 * U * (Math.abs(largest) + Math.log(V));
  }
  return { value, bound };
}

let model: Model;
beforeAll(async () => {
  model = await loadModel(context.device, goldenFolder);
});
afterAll(() => model.destroy());

describe('log-likelihoods of spans', () => {
  test('of sequences of several lengths in one padded batch', async () => {
    const sequences = [sequence(2, 1), sequence(9, 1), sequence(17, 16), sequence(12, 5)];
    const evaluator = await TokenLosses.create(model, { B: 5, T: 16 });
    const sums = await spanLogLikelihoods(evaluator, sequences);
    expect(sums).toHaveLength(4);
    sequences.forEach((each, i) => {
      const { value, bound } = reference(each);
      expect(Math.abs(sums[i]! - value), `sequence ${i}`).toBeLessThan(bound);
    });
    await expect(spanLogLikelihoods(evaluator, [sequence(18, 3)])).rejects.toThrow('cannot be scored in 17');
    evaluator.destroy();
  });

  test('of any number of sequences, in the order they were given in', async () => {
    const sequences = [40, 3, 30, 17, 18, 25, 5, 41].map((length, i) => sequence(length, 1 + (i % 2)));
    let scored = 0;
    const onScored = (count: number) => {
      scored += count;
    };
    const sums = await logLikelihoods(model, sequences, { batchTokens: 48, onScored });
    sequences.forEach((each, i) => {
      const { value, bound } = reference(each);
      expect(Math.abs(sums[i]! - value), `sequence ${i}`).toBeLessThan(bound);
    });
    expect(scored).toBe(8);
  });
});

test('the loss of an ignored target is 0, and padding changes nothing before it', async () => {
  const { ids } = sequence(17, 1);
  const whole = Uint32Array.from(ids);
  const cut = whole.slice();
  cut.fill(IGNORED_TARGET, 9);
  const evaluator = await TokenLosses.create(model, { B: 2, T: 16 });
  const losses = await evaluator.of(Uint32Array.from([...whole, ...cut]));
  expect(losses.slice(16, 24)).toEqual(losses.slice(0, 8));
  expect(losses.slice(24)).toEqual(new Float32Array(8));
  evaluator.destroy();
});

test('lengths that are padded to', () => {
  expect([1, 16, 17, 24, 25, 33, 48, 49, 1000].map(paddedLength)).toEqual([16, 16, 24, 24, 32, 48, 48, 64, 1024]);
});
