import { describe, expect, test } from 'vitest';
import { coverageOf } from '../../src/scaling/coverage.js';
import { CHINCHILLA, EXTENDED, fitLaw } from '../../src/scaling/fit.js';
import { compareHeldOut, scratchWithout, splitsOf } from '../../src/scaling/holdout.js';
import type { LawParameters } from '../../src/scaling/law.js';
import { makePlan } from '../../src/scaling/plan.js';
import { ALONG_RUNS, cptLaw, pointsOn, scratchLaw } from '../support/laws.js';

const fitsOf = (points: ReturnType<typeof pointsOn>) => ({
  chinchilla: fitLaw(points, CHINCHILLA).law,
  extended: fitLaw(points, EXTENDED).law,
});

describe('points are held out', () => {
  const points = pointsOn(scratchLaw, ALONG_RUNS);

  test('of the largest size, of the last third of each run, or each once over the folds', () => {
    const [largest] = splitsOf(points, 'largest');
    expect(new Set(largest!.heldOut.map(({ parameters }) => parameters))).toEqual(new Set([5534e6]));
    expect(largest!.fitted).toHaveLength(78);
    const [last] = splitsOf(points, 'last');
    expect(new Set(last!.heldOut.map(({ parameters, tokens }) => tokens / parameters))).toEqual(new Set([14, 20]));
    const folds = splitsOf(points, 5);
    expect(folds.flatMap(({ heldOut }) => heldOut)).toHaveLength(points.length);
    expect(new Set(folds.flatMap(({ heldOut }) => heldOut)).size).toBe(points.length);
  });

  test('until too few are left to fit to', () => {
    const two = points.filter(({ parameters }) => parameters < 8e7);
    expect(() => compareHeldOut(two, 'largest', fitsOf(points))).toThrow(
      /--holdout largest leaves 6 points of 1 sizes to fit to and holds 6 out/,
    );
  });
});

describe('laws are judged by points held out', () => {
  test('where γ is needed, the law with it predicts the largest size best', () => {
    const points = pointsOn(cptLaw, ALONG_RUNS, { noise: 2e-3 });
    const { best, laws, points: count } = compareHeldOut(points, 'largest', fitsOf(points));
    expect(best).toBe('extended');
    expect(count).toBe(6);
    const [without, withIt] = laws;
    // the noise at the points, and what the law adds to it
    expect(withIt!.heldOut).toBeLessThan(6e-3);
    expect(without!.heldOut).toBeGreaterThan(withIt!.heldOut);
    for (const { heldOut, worst, fitted } of laws) {
      expect(worst).toBeGreaterThanOrEqual(heldOut);
      expect(fitted).toBeGreaterThan(0);
    }
  });

  test('of CPT, with what they keep of the scratch fit', () => {
    const points = pointsOn(cptLaw, ALONG_RUNS, { noise: 1e-3 });
    const fits = { chinchilla: { ...cptLaw, gamma: 0 }, extended: cptLaw };
    const { best, laws } = compareHeldOut(points, 'last', fits, () => scratchLaw);
    expect(best).toBe('extended');
    expect(laws[1]!.heldOut).toBeLessThan(3e-3);
  });

  test('and what they keep of scratch can be fitted without what is held out', () => {
    const scratch = pointsOn(scratchLaw, ALONG_RUNS);
    // the largest size alone is far off the law: a fit that had seen it would be drawn towards it
    const bent = scratch.map(point => (point.parameters === 5534e6 ? { ...point, loss: 2 * point.loss } : point));
    const cpt = pointsOn(cptLaw, ALONG_RUNS);
    expect(scratchWithout(bent, cpt, 'largest', scratchLaw).E).toBeCloseTo(scratchLaw.E, 3);
    expect(fitLaw(bent, CHINCHILLA).law.E).not.toBeCloseTo(scratchLaw.E, 3);
    // CPT of smaller sizes alone: scratch does without all that are as large as its largest
    const small = cpt.filter(({ parameters }) => parameters < 5534e6);
    const bentToo = bent.map(point =>
      point.parameters === Math.max(...small.map(({ parameters }) => parameters))
        ? { ...point, loss: 2 * point.loss }
        : point,
    );
    expect(scratchWithout(bentToo, small, 'largest', scratchLaw).E).toBeCloseTo(scratchLaw.E, 3);
    expect(scratchWithout(scratch, cpt, 'last', scratchLaw).beta).toBeCloseTo(scratchLaw.beta, 3);
  });

  test('and a plan says where they disagree', () => {
    const other: LawParameters = { ...scratchLaw, E: 1.7 };
    const lawWith = (parameters: LawParameters) => ({
      name: 'fit.json',
      strategy: 'scratch' as const,
      parameters: scratchLaw,
      samples: [],
      range: { parameters: [1e6, 1e12] as const, tokens: [1e6, 1e15] as const },
      caveats: [],
      holdout: {
        best: 'extended',
        laws: [
          { law: 'chinchilla', heldOut: 0.01, parameters: scratchLaw },
          { law: 'extended', heldOut: 0.005, parameters },
        ],
      },
    });
    expect(makePlan({ compute: 1e20 }, lawWith(other), []).warnings.join()).toMatch(
      /laws fitted for 'fit.json' disagree at .* chinchilla \d\.\d{4} \(1.00%\), extended .*; 'extended' predicted those best/,
    );
    expect(makePlan({ compute: 1e20 }, lawWith(scratchLaw), []).warnings).toEqual([]);
  });
});

test('intervals cover about as often as they say', () => {
  const design = [5e7, 2e8, 8e8, 3.2e9].flatMap(parameters =>
    [1, 2, 4, 8, 14, 20].map(ratio => ({ parameters, tokens: ratio * parameters })),
  );
  const options = { draws: 30, replicates: 40, noise: 0.01, level: 0.9, seed: 0 };
  const covered = coverageOf(scratchLaw, design, { N: 6.4e9, D: 128e9 }, options);
  // of 30 draws at 0.9 fewer than 21 are covered in 1 of 1000 cases; narrower intervals, of half the width, cover 0.59
  for (const [name, share] of Object.entries(covered)) expect(share, name).toBeGreaterThanOrEqual(21 / 30);
  // the middle half covers less: an interval that covers everything would say nothing
  const half = coverageOf(scratchLaw, design, { N: 6.4e9, D: 128e9 }, { ...options, level: 0.5 });
  for (const [name, share] of Object.entries(half)) expect(share, name).toBeLessThan(0.85);
});
