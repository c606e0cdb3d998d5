/** The gradient noise scale against gradients whose mean and covariance are known. */
import { expect, test } from 'vitest';
import { Random } from '../../src/random.js';
import { costOf, type NormDraw, noiseScale } from '../../src/scaling/noise-scale.js';

const SIZES = { small: 2, large: 32 };
const DIMENSIONS = 40;
/** Each gradient is (1, …, 1) and normal noise with this standard deviation in each dimension. */
const SIGMA = 3;

const squaredNorm = (vector: Float64Array): number => vector.reduce((sum, value) => sum + value * value, 0);

/** A draw of `large` gradients of single sequences. */
function drawn(random: Random, signal = 1): NormDraw {
  const { small, large } = SIZES;
  const total = new Float64Array(DIMENSIONS);
  let ofSmall = 0;
  for (let i = 0; i < large / small; i++) {
    const part = new Float64Array(DIMENSIONS);
    for (let sequence = 0; sequence < small; sequence++) {
      for (let d = 0; d < DIMENSIONS; d++) part[d]! += (signal + SIGMA * random.normal()) / small;
    }
    part.forEach((value, d) => {
      total[d]! += (value * small) / large;
    });
    ofSmall += (squaredNorm(part) * small) / large;
  }
  return { small: ofSmall, large: squaredNorm(total) };
}

test('both moments are estimated without bias, and the interval holds the scale that is known', () => {
  const random = new Random(5, 'gradients');
  // |G|² = 40, S = 40·9, B_simple = 9
  const many = noiseScale(
    Array.from({ length: 4000 }, () => drawn(random)),
    SIZES,
  );
  // the squared norm of a mean of n has a variance of 4|G|²σ²/n + 2dσ⁴/n²: over 4000 draws within 4 standard errors
  const error = (n: number) => Math.sqrt((4 * 40 * 9) / n + (2 * DIMENSIONS * 81) / n ** 2) / Math.sqrt(4000);
  expect(Math.abs(many.gradient - 40)).toBeLessThan((4 * (32 * error(32) + 2 * error(32))) / 30);
  expect(Math.abs(many.noise / 360 - 1)).toBeLessThan(0.01);
  expect(Math.abs(many.batch - 9)).toBeLessThan(0.25);
  const covered = Array.from({ length: 200 }, () => {
    const [low, high] = noiseScale(
      Array.from({ length: 16 }, () => drawn(random)),
      SIZES,
    ).interval;
    return low <= 9 && 9 <= high;
  });
  expect(covered.filter(Boolean).length).toBeGreaterThan(170); // 16 draws are few for a bootstrap: about 92%
}, 60_000);

test('where there is no signal, or draws cannot tell it from noise, there is no upper bound', () => {
  const random = new Random(6, 'gradients');
  const { interval } = noiseScale(
    Array.from({ length: 16 }, () => drawn(random, 0)),
    SIZES,
  );
  expect(interval[1]).toBe(Number.POSITIVE_INFINITY);
  expect(interval[0]).toBeGreaterThan(100);
});

test('gradients that are all the same have a scale of 0', () => {
  const same = Array.from({ length: 3 }, () => ({ small: 4, large: 4 }));
  expect(noiseScale(same, SIZES)).toMatchObject({ gradient: 4, noise: 0, batch: 0, interval: [0, 0] });
});

test('a batch as large as the critical one takes twice the steps and twice the tokens', () => {
  expect(costOf(64, 64)).toEqual({ steps: 2, tokens: 2 });
  expect(costOf(16, 64)).toEqual({ steps: 5, tokens: 1.25 });
});
