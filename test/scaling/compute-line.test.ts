import { describe, expect, test } from 'vitest';
import { Random } from '../../src/random.js';
import { computeOfLoss, fitCompute, lossOfCompute, lowerEnvelope } from '../../src/scaling/compute-line.js';
import { paperComputeLines, paperLinesAt } from '../../src/scaling/published.js';

const none = { replicates: 0, seed: 0, resample: 'rows' } as const;
const pointAt = (flops: number, loss: number) => ({ parameters: 1e6, tokens: 1e6, flops, loss });

describe('the lower envelope', () => {
  test('has the points that no less compute beats', () => {
    const points = [pointAt(4, 2), pointAt(1, 5), pointAt(2, 5.5), pointAt(2, 4), pointAt(3, 4), pointAt(5, 3)];
    expect(lowerEnvelope(points)).toEqual([
      { compute: 1, loss: 5 },
      { compute: 2, loss: 4 },
      { compute: 4, loss: 2 },
    ]);
  });

  test('takes 6·N·D where no FLOPs are given', () => {
    expect(lowerEnvelope([{ parameters: 10, tokens: 100, loss: 3 }])).toEqual([{ compute: 6000, loss: 3 }]);
  });
});

describe('loss against compute', () => {
  const { scratch } = paperComputeLines;
  const levels = Array.from({ length: 30 }, (_, i) => 1e17 * 2 ** i);

  test('is given back by points without noise, whatever lies above the envelope', () => {
    const points = levels.flatMap(C => [1, 1.1, 1.3].map(factor => pointAt(C, factor * lossOfCompute(scratch, C))));
    const fit = fitCompute(points, none);
    expect(fit.points).toBe(30);
    expect(fit.parameters.k).toBeCloseTo(scratch.k, 4);
    expect(fit.parameters.c).toBeCloseTo(scratch.c, 7);
    expect(fit.intervals).toEqual({ k: null, c: null });
  });

  test('lies within its interval with noise', () => {
    const random = new Random(3, 'noise');
    const points = levels.map(C => pointAt(C, lossOfCompute(scratch, C) * Math.exp(0.01 * random.normal())));
    const { c } = fitCompute(points, { ...none, replicates: 200 }).intervals;
    expect(c![0]).toBeLessThan(scratch.c);
    expect(c![1]).toBeGreaterThan(scratch.c);
    expect(c![1] - c![0]).toBeLessThan(0.01);
  });

  test('cannot be fitted where more compute never helps', () => {
    expect(() => fitCompute([pointAt(1, 3), pointAt(1, 4), pointAt(2, 3)], none)).toThrow(
      /envelope has 1 of the 3 points/,
    );
  });

  test('has numbers, and says so, where the compute hardly differs', () => {
    const fit = fitCompute([pointAt(1e20, 4), pointAt(1.001e20, 3.9)], { ...none, replicates: 5 });
    expect(fit.parameters.k).toSatisfy(Number.isFinite);
    expect(fit.parameters.c).toBeCloseTo(5, 1);
    expect(fit.warnings.join()).toMatch(/c ran to 5, .* spans a factor of 1; add points at less and more compute/);
  });

  test('turns round: the compute of a loss', () => {
    expect(computeOfLoss(scratch, lossOfCompute(scratch, 3e20)) / 3e20).toBeCloseTo(1, 10);
  });

  test("has the paper's savings: 46.9% at 1e18 FLOPs, 41.6% at 1e24", () => {
    expect(paperLinesAt(1e18).flopsSaved).toBeCloseTo(0.469, 3);
    expect(paperLinesAt(1e24).flopsSaved).toBeCloseTo(0.416, 3);
  });
});
