import { describe, expect, test } from 'vitest';
import { allocate } from '../../src/scaling/allocation.js';
import { lossAt } from '../../src/scaling/law.js';
import { fitReplay, leastReplay, sourceLossAt } from '../../src/scaling/replay.js';
import { planReplay } from '../../src/scaling/replay-plan.js';
import { cptLaw } from '../support/laws.js';

const truth = { S: 2.1, K: 0.15, rho: 1e-3 };
const pointAt = (replay: number, more = {}) => ({
  parameters: 1e9,
  tokens: 2e10,
  loss: 2,
  replay,
  sourceLoss: sourceLossAt(truth, replay),
  ...more,
});
const points = [0, 0.05, 0.1, 0.3, 0.5].map(r => pointAt(r));

describe('the curve of source loss against replay', () => {
  test('is given back by points that lie on it', () => {
    const curve = fitReplay(points, 1e9);
    expect(curve.S).toBeCloseTo(truth.S, 6);
    expect(curve.K).toBeCloseTo(truth.K, 6);
    expect(curve.rho).toBeCloseTo(truth.rho, 6);
    expect(curve).toMatchObject({ points: 5, replay: [0, 0.5], parameters: 1e9, tokensPerParameter: [20, 20] });
    expect(curve.rms).toBeLessThan(1e-8);
  });

  test('has no ρ where no point is without replay', () => {
    const curve = fitReplay(
      [0.05, 0.1, 0.3].map(r => ({ ...pointAt(r), sourceLoss: 2 - 0.1 * Math.log(r) })),
      1e9,
    );
    expect(curve).toMatchObject({ rho: 0, replay: [0.05, 0.3] });
    expect(curve.S).toBeCloseTo(2, 8);
    expect(curve.K).toBeCloseTo(0.1, 8);
  });

  test('comes from the ends of the runs of the nearest size', () => {
    const earlier = points.map(point => ({ ...point, tokens: 1e9, sourceLoss: 9 }));
    const others = points.map(point => ({ ...point, parameters: 1e7, sourceLoss: 7 }));
    expect(fitReplay([...others, ...earlier, ...points], 5e9)).toMatchObject({ points: 5, parameters: 1e9 });
  });

  test('stays within 1% of the published sweep of Ibrahim et al. (2024), German after English', () => {
    const published = { 0: 3.56, 0.01: 2.83, 0.05: 2.57, 0.1: 2.46, 0.25: 2.33, 0.5: 2.24 };
    const measured = Object.entries(published).map(([r, sourceLoss]) => pointAt(Number(r), { sourceLoss }));
    const curve = fitReplay(measured, 405e6);
    for (const { replay, sourceLoss } of measured) {
      expect(Math.abs(sourceLossAt(curve, replay) / sourceLoss - 1)).toBeLessThan(0.01);
    }
  });

  test('needs three ratios', () => {
    expect(() => fitReplay(points.slice(0, 2), 1e9)).toThrow(
      /needs three ratios at one size; of 1000000000 .* 0, 0.05/,
    );
  });
});

describe('replay under a limit', () => {
  const curve = fitReplay(points, 1e9);

  test('is the least that keeps to it', () => {
    expect(leastReplay(curve, sourceLossAt(truth, 0.2))).toBeCloseTo(0.2, 5);
    expect(leastReplay(curve, 9)).toBe(0);
    expect(leastReplay(curve, sourceLossAt(truth, 0.6))).toBeUndefined();
  });

  test('out of the same compute re-splits what is left for the target; extra tokens come on top', () => {
    const C = 6 * 1e9 * 2e10;
    const { replay, sameCompute, extraTokens, warnings } = planReplay(points, sourceLossAt(truth, 0.2), cptLaw, C);
    expect(replay).toBeCloseTo(0.2, 5);
    const left = allocate(cptLaw, (1 - replay!) * C);
    expect(sameCompute!.flops / C).toBeCloseTo(1, 9);
    expect(sameCompute!.loss).toBeCloseTo(left.loss, 9);
    expect(sameCompute!.targetTokens + sameCompute!.replayedTokens).toBeCloseTo(sameCompute!.tokens, 0);
    expect(sameCompute!.replayedTokens / sameCompute!.tokens).toBeCloseTo(0.2, 5);
    // no other size does better with the same compute and share
    for (const f of [0.9, 1.1]) {
      const N = sameCompute!.N * f;
      expect(lossAt(cptLaw, N, ((1 - replay!) * C) / (6 * N))).toBeGreaterThan(sameCompute!.loss);
    }
    expect(extraTokens!.loss).toBeCloseTo(allocate(cptLaw, C).loss, 9);
    expect(extraTokens!.flops / C).toBeCloseTo(1 / 0.8, 4);
    expect(warnings.join()).toMatch(/measured with 1.00e9 parameters and the plan has/);
  });

  test('keeps a size that is given', () => {
    const { sameCompute } = planReplay(points, 2.5, cptLaw, 6 * 1e9 * 2e10, 1e9);
    expect(sameCompute!.N).toBe(1e9);
    expect(sameCompute!.tokens / 2e10).toBeCloseTo(1, 9);
  });

  test('proposes nothing beyond what was measured', () => {
    expect(planReplay(points, 1.5, cptLaw, 1.2e20, 1e9)).toMatchObject({
      replay: null,
      sameCompute: null,
      warnings: [expect.stringMatching(/no measured replay keeps the source loss within 1.5: at the largest, 0.5/)],
    });
    expect(planReplay(points, 9, cptLaw, 1.2e20, 1e9).warnings.join()).toMatch(/the least replay measured, 0, already/);
    expect(planReplay(points, 2.5, cptLaw, 6e20, 1e9).warnings.join()).toMatch(/after 20 tokens per parameter/);
  });

  test('is not planned where replay does not help', () => {
    const rising = points.map((point, i) => ({ ...point, sourceLoss: 2 + i / 10 }));
    expect(planReplay(rising, 1.9, cptLaw, 1.2e20, 1e9)).toMatchObject({
      replay: null,
      warnings: expect.arrayContaining([expect.stringMatching(/does not fall with replay/)]),
    });
  });
});
