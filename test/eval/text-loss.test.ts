import { expect, test } from 'vitest';
import { meanLoss, textLoss } from '../../src/eval/text-loss.js';
import { IGNORED_TARGET } from '../../src/kernels/cross-entropy.js';

/** A model to which a token of id i has a loss of i nats. */
const T = 4;
const fake = {
  shape: { B: 2, T },
  of: async (sequences: Uint32Array) =>
    Float32Array.from(
      [...sequences].filter((_, i) => i % (T + 1) > 0),
      id => (id === IGNORED_TARGET ? 0 : id),
    ),
};

test('loss over all tokens, bits per byte without the separators', async () => {
  // the separator is 7; predicted are 1 2 7 3 | 4 5 7 6 | 1
  const ids = Uint32Array.from([7, 1, 2, 7, 3, 4, 5, 7, 6, 1]);
  const scored: number[] = [];
  const result = await textLoss(fake, { ids, bytes: 11, markIds: new Set([7]) }, count => scored.push(count));
  expect(result).toEqual({
    loss: 36 / 9,
    perplexity: Math.exp(4),
    bitsPerByte: 22 / Math.LN2 / 11,
    tokens: 9,
    bytes: 11,
  });
  expect(scored).toEqual([2, 1]);
});

test('the mean over all predictions of sequences, ignored ones left out', async () => {
  const sequences = Uint32Array.from([
    9,
    1,
    2,
    3,
    4,
    9,
    6,
    IGNORED_TARGET,
    IGNORED_TARGET,
    IGNORED_TARGET,
    9,
    5,
    5,
    1,
    1,
  ]);
  expect(await meanLoss(fake, sequences)).toBe(28 / 9);
});
