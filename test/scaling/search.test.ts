import { describe, expect, test } from 'vitest';
import { Random } from '../../src/random.js';
import { CHINCHILLA, randomStarts } from '../../src/scaling/fit.js';
import { fitChinchilla } from '../../src/scaling/fit-result.js';
import { minimize } from '../../src/scaling/lbfgs.js';
import { LawObjective } from '../../src/scaling/objective.js';
import { type Objective, search } from '../../src/scaling/search.js';
import { ALONG_RUNS, pointsOn, scratchLaw } from '../support/laws.js';

describe('the search', () => {
  test('of a law ends where every start on its own ends, and counts as many', () => {
    const points = pointsOn(scratchLaw, ALONG_RUNS, { noise: 0.01 });
    const objective = new LawObjective(points, CHINCHILLA);
    const starts = randomStarts(points, CHINCHILLA, 40, new Random(3)).map(start => objective.fromLaw(start));
    const alone = starts.map(start => minimize(objective.value, start).value);
    const lowest = Math.min(...alone);
    const found = search(objective, starts);
    expect(found.value / lowest).toBeCloseTo(1, 9);
    expect(found.agreeing).toBe(alone.filter(value => value <= lowest * (1 + 1e-6)).length);
  });

  /** Two valleys in x, at −1 (height 1) and at 2 (height 0.5); the value is what is predicted too, beside x. */
  const valleys: Objective = {
    value: ([x], gradient) => {
      const isLeft = x! < 0.5;
      gradient[0] = 2 * (x! - (isLeft ? -1 : 2));
      return isLeft ? 1 + (x! + 1) ** 2 : 0.5 + (x! - 2) ** 2;
    },
    residuals: ([x]) => [x!],
  };

  test('goes on from a place that is as low as a worse end, but elsewhere', () => {
    // from 2.6 the first step passes the height of the end at −1, which the first start has found
    const found = search(valleys, [Float64Array.of(-3), Float64Array.of(2.6), Float64Array.of(9)]);
    expect(found.theta[0]).toBeCloseTo(2, 6);
    expect(found.value).toBeCloseTo(0.5, 9);
    expect(found.agreeing).toBe(2);
  });

  test('follows a start that has met an end no further', () => {
    let evaluations = 0;
    const counted: Objective = {
      ...valleys,
      value: (x, gradient) => {
        evaluations++;
        return valleys.value(x, gradient);
      },
    };
    expect(search(counted, [Float64Array.of(-3), Float64Array.of(-1 + 1e-5)]).agreeing).toBe(2);
    const both = evaluations;
    evaluations = 0;
    search(counted, [Float64Array.of(-3)]);
    expect(both).toBe(evaluations + 1);
  });

  test('tells how far a fit is, up to its last start', () => {
    const points = pointsOn(scratchLaw, [2, 20], { noise: 0.01 });
    const used = {
      ...{ file: 'points.csv', rows: 28, points: 28, where: {}, excluded: {}, columns: {}, unannealed: 0 },
      parameterCount: 'total' as const,
    };
    const seen: [number, number][] = [];
    fitChinchilla(points, used, { replicates: 2, seed: 0, resample: 'rows' }, (done, total) => {
      seen.push([done, total]);
    });
    expect(seen.map(([done]) => done)).toEqual(seen.map((_, i) => i + 1));
    expect(new Set(seen.map(([, total]) => total))).toEqual(new Set([seen.length]));
  });
});
