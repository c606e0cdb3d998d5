import { describe, expect, test } from 'vitest';
import { Random } from '../../src/random.js';
import { bootstrapLaws, interval, outsideIntervals } from '../../src/scaling/bootstrap.js';
import { CHINCHILLA, EXTENDED, fitLaw } from '../../src/scaling/fit.js';
import { fitChinchilla, fitCpt, type LawFitResult } from '../../src/scaling/fit-result.js';
import { type LawParameters, lossAt, parameterNames } from '../../src/scaling/law.js';
import type { Used } from '../../src/scaling/points.js';
import { parseFit } from '../../src/scaling/saved-fit.js';
import { ALONG_RUNS, cptLaw, pointsOn, scratchLaw } from '../support/laws.js';

const used: Used = {
  file: 'points.csv',
  rows: 84,
  points: 84,
  where: {},
  excluded: {},
  columns: {},
  parameterCount: 'total',
  unannealed: 0,
};
const none = { replicates: 0, seed: 0, resample: 'rows' } as const;
const some = { ...none, replicates: 100 };

function expectLaw(found: LawParameters, truth: LawParameters): void {
  for (const name of parameterNames)
    expect(found[name], name).toBeCloseTo(truth[name], 4 - Math.log10(truth[name] || 1));
}

function expectInside(
  fit: LawFitResult,
  truth: LawParameters,
  names: readonly (keyof LawFitResult['intervals'])[],
): void {
  const { alpha, beta, gamma } = truth;
  const values = { ...truth, a: beta / (alpha + beta - gamma), b: (alpha - gamma) / (alpha + beta - gamma) };
  for (const name of names) {
    const [low, high] = fit.intervals[name]!;
    expect(low, name).toBeLessThan(values[name]);
    expect(high, name).toBeGreaterThan(values[name]);
  }
}

describe('points without noise', () => {
  test('give back the parameters of the law of scratch, from every start', () => {
    const fit = fitChinchilla(pointsOn(scratchLaw, ALONG_RUNS), used, none);
    expectLaw(fit.parameters, scratchLaw);
    expect(fit).toMatchObject({ law: 'chinchilla', points: 84, starts: 500, agreeing: 500, converged: true });
    expect(fit.a).toBeCloseTo(3 / 7, 6);
    expect(fit.b).toBeCloseTo(4 / 7, 6);
    expect(fit.diagnosis.determined).toBe(true);
    expect(fit.warnings).toEqual([]);
  });

  test('give back the parameters of the law of CPT', () => {
    const scratch = fitChinchilla(pointsOn(scratchLaw, ALONG_RUNS), used, none);
    const fit = fitCpt(pointsOn(cptLaw, ALONG_RUNS), used, scratch, none);
    expectLaw(fit.parameters, cptLaw);
    // without γ the same points cannot be met
    expect(fit.fitErrors.chinchilla.objective).toBeGreaterThan(1e3 * fit.fitErrors.extended.objective);
    expect(fit.fitErrors.chinchilla.parameters.gamma).toBe(0);
  });

  test('give back all six parameters at once', () => {
    expectLaw(fitLaw(pointsOn(cptLaw, ALONG_RUNS), EXTENDED).law, cptLaw);
  });

  test('give back parameters of quite another size: losses around 5e4 and 300 parameters', () => {
    const law = { E: 3e4, A: 2e5, B: 9e5, alpha: 0.7, beta: 0.5, gamma: 0 };
    const points = [300, 600, 1500, 4000].flatMap(parameters =>
      [10, 40, 160, 640, 2560].map(tokens => ({ parameters, tokens, loss: lossAt(law, parameters, tokens) })),
    );
    const { parameters } = fitChinchilla(points, used, none);
    for (const name of ['E', 'A', 'B', 'alpha', 'beta'] as const)
      expect(parameters[name] / law[name]).toBeCloseTo(1, 4);
  });
});

describe('points with 1% noise', () => {
  test('have the true parameters within the intervals', () => {
    const scratch = fitChinchilla(pointsOn(scratchLaw, ALONG_RUNS, { noise: 0.01, seed: 1 }), used, some);
    expectInside(scratch, scratchLaw, ['E', 'A', 'B', 'alpha', 'beta', 'a', 'b']);
    const cpt = fitCpt(pointsOn(cptLaw, ALONG_RUNS, { noise: 0.01, seed: 2 }), used, scratch, some);
    expectInside(cpt, cptLaw, ['E', 'A', 'B', 'alpha', 'beta', 'gamma', 'a', 'b']);
    // each replicate keeps what the scratch fit's has
    const held = ({ samples }: LawFitResult) => samples.map(([E, A, , alpha]) => [E, A, alpha]);
    expect(held(cpt)).toEqual(held(scratch));
  });

  test('are fitted better with γ than without, if only a little where there is none', () => {
    const { fitErrors } = fitChinchilla(pointsOn(scratchLaw, ALONG_RUNS, { noise: 0.01 }), used, none);
    expect(fitErrors.extended.objective).toBeLessThanOrEqual(fitErrors.chinchilla.objective);
    expect(fitErrors.extended.objective).toBeGreaterThan(0.9 * fitErrors.chinchilla.objective);
    expect(fitErrors.chinchilla.rms).toBeCloseTo(0.01, 2);
  });

  test('are resampled alike by one seed, and otherwise by another', () => {
    const points = pointsOn(scratchLaw, [2, 20], { noise: 0.01 });
    const samples = (seed: number, resample: 'rows' | 'runs' = 'rows') =>
      bootstrapLaws(points, () => CHINCHILLA, { replicates: 3, seed, resample });
    expect(samples(5)).toEqual(samples(5));
    expect(samples(6)).not.toEqual(samples(5));
    expect(samples(5, 'runs')).not.toEqual(samples(5));
  });
});

/** 20 points a size, one curve above the other by a factor: no floor is seen, and alpha has no bound. */
function fewSizes(sizes: readonly number[]) {
  const random = new Random(4, 'noise');
  return sizes.flatMap((parameters, i) =>
    Array.from({ length: 20 }, (_, j) => {
      const tokens = 3e4 * (j + 1);
      return { parameters, tokens, loss: 41 * tokens ** -0.175 * 0.9 ** i * Math.exp(0.02 * random.normal()) };
    }),
  );
}

describe('an estimate outside its percentile interval', () => {
  const intervals = { alpha: [0.0728, 43.6], beta: [0.1, 0.3], E: null } as const;

  test('is said, with its interval', () => {
    expect(outsideIntervals({ alpha: 0.0498, beta: 0.2, E: 1 }, intervals).join()).toMatch(
      /^outside its interval: alpha 0.0498 \(0.0728 to 43.6\); refits to resampled points end elsewhere/,
    );
  });

  test('is not when rounding alone puts it there', () => {
    expect(outsideIntervals({ alpha: 0.0728 * (1 - 1e-6) }, intervals)).toEqual([]);
  });
});

describe('points that cannot answer', () => {
  const scratch = fitChinchilla(pointsOn(scratchLaw, ALONG_RUNS), used, none);

  test.each([0, 0.01])('at one D/N leave β and γ undetermined, with %f noise', noise => {
    const fit = fitCpt(pointsOn(cptLaw, [20], { noise }), used, scratch, some);
    const { determined, undetermined, advice } = fit.diagnosis;
    expect(determined).toBe(false);
    expect(undetermined).toHaveLength(1);
    const { beta, gamma } = undetermined[0]!.direction;
    expect(beta).toBeCloseTo(-gamma!, 3);
    expect(advice.join()).toMatch(/D\/N is 20 at every point.*add points along the runs.*other tokens per parameter/);
    // the intervals show it, while what can be told is told
    expect(fit.intervals.beta![1] - fit.intervals.beta![0]).toBeGreaterThan(0.4);
    expect(fit.intervals.gamma![1] - fit.intervals.gamma![0]).toBeGreaterThan(0.4);
    const sums = interval(fit.samples.map(([, , , , b, c]) => b + c))!;
    expect(sums[1] - sums[0]).toBeLessThan(0.05);
    expect(sums[0]).toBeLessThan(0.28 + 1e-6);
    expect(sums[1]).toBeGreaterThan(0.28 - 1e-6);
  });

  test('at 19.9 to 20.1 tokens per parameter are no better once there is noise', () => {
    const fit = fitCpt(pointsOn(cptLaw, [19.9, 20, 20.1], { noise: 0.01 }), used, scratch, none);
    expect(fit.diagnosis.determined).toBe(false);
    expect(fit.diagnosis.undetermined[0]!.deviation).toBeGreaterThan(0.5);
  });

  test('along the runs do answer', () => {
    const fit = fitCpt(pointsOn(cptLaw, ALONG_RUNS, { noise: 0.01 }), used, scratch, some);
    expect(fit.diagnosis).toMatchObject({ determined: true, undetermined: [], advice: [] });
    expect(fit.intervals.beta![1] - fit.intervals.beta![0]).toBeLessThan(0.1);
  });

  test('of one number of tokens say so', () => {
    const points = pointsOn(scratchLaw, [20]).map(({ parameters }) => ({
      parameters,
      tokens: 1e9,
      loss: lossAt(scratchLaw, parameters, 1e9),
    }));
    const { diagnosis } = fitChinchilla(points, used, none);
    expect(diagnosis.determined).toBe(false);
    expect(diagnosis.advice.join()).toMatch(/D is 1.00e9 at every point/);
  });

  test('of nearly one size say so', () => {
    const points = pointsOn(scratchLaw, [1, 5, 20], { noise: 0.01 }).slice(0, 3);
    const close = [1, 1.005, 1.01].flatMap(factor =>
      points.map(point => ({ ...point, parameters: point.parameters * factor })),
    );
    const fit = fitChinchilla(close, used, none);
    expect(fit.diagnosis.determined).toBe(false);
    expect(fit.warnings.join()).toMatch(/sizes span a factor of 1.01: add smaller or larger models/);
    expect(fit.warnings.join()).toMatch(/9 points for 5 parameters are few/);
  });

  describe('of two sizes with 20 points each', () => {
    const fit = fitChinchilla(fewSizes([1.5e5, 4e5]), used, some);

    test('have numbers everywhere, and an exponent that is kept within bounds', () => {
      const { fitErrors, intervals, parameters, samples } = fit;
      const laws = [parameters, fitErrors.chinchilla.parameters, fitErrors.extended.parameters];
      const numbers = [laws.map(law => Object.values(law)), Object.values(intervals), samples].flat(2);
      for (const value of numbers) expect(value).toSatisfy(Number.isFinite);
      for (const { alpha } of laws) expect(Math.abs(alpha)).toBeLessThan(5.01);
      for (const { rms } of Object.values(fitErrors)) {
        expect(rms).toBeGreaterThan(0.01); // about the noise of 0.02
        expect(rms).toBeLessThan(0.04);
      }
      expect(parseFit(JSON.stringify(fit), 'fit.json').parameters).toEqual(parameters);
    });

    test('say what is open and what to add', () => {
      expect(fit.diagnosis.determined).toBe(false);
      expect(fit.diagnosis.open).toEqual(expect.arrayContaining(['E', 'A', 'alpha']));
      expect(fit.diagnosis.open).not.toContain('beta');
      expect(fit.warnings.join()).toMatch(
        /too few sizes \(2\): E, A and alpha need at least 3;.*add runs of other sizes/,
      );
      expect(fit.warnings.join()).toMatch(/alpha ran to 5, the end of its search/);
    });

    test('leave a CPT fit open in what it keeps of them', () => {
      const cpt = fitCpt(fewSizes([1.5e5, 4e5, 1e6]), used, fit, none);
      expect(cpt.diagnosis.determined).toBe(false);
      expect(cpt.diagnosis.open.slice(0, 3)).toEqual(['E', 'A', 'alpha']);
      expect(cpt.warnings.join()).toMatch(/leaves E, A, alpha undetermined/);
    });
  });

  test('of two numbers of tokens say so', () => {
    const points = pointsOn(scratchLaw, [20]).flatMap(({ parameters }) =>
      [1e9, 4e9].map(tokens => ({ parameters, tokens, loss: lossAt(scratchLaw, parameters, tokens) })),
    );
    const { open, advice } = fitChinchilla(points, used, none).diagnosis;
    expect(open).toEqual(expect.arrayContaining(['E', 'B', 'beta']));
    expect(advice.join()).toMatch(/too few numbers of tokens \(2\): E, B and beta need at least 3/);
  });

  test('that are too few, or of one size, are refused', () => {
    const points = pointsOn(scratchLaw, [20]);
    expect(() => fitChinchilla(points.slice(0, 4), used, none)).toThrow(/4 points cannot fix 5 parameters/);
    expect(() => fitCpt(points.slice(0, 2), used, scratch, none)).toThrow(/2 points cannot fix 3 parameters/);
    const one = pointsOn(scratchLaw, ALONG_RUNS).slice(0, 6);
    expect(() => fitChinchilla(one, used, none)).toThrow(
      /all points have 49000000 parameters, and the law needs three sizes.*add runs of other sizes/,
    );
  });

  test('that are below the floor of the scratch fit, of another count of N, or not annealed, are warned of', () => {
    const points = pointsOn({ ...cptLaw, E: 1, B: 1 }, ALONG_RUNS);
    const { warnings } = fitCpt(points, { ...used, parameterCount: 'nominal', unannealed: 70 }, scratch, none);
    expect(warnings.join()).toMatch(/84 points are below E \+ A\/N\^alpha of the scratch fit/);
    expect(warnings.join()).toMatch(/N is 'nominal' here and 'total' in the scratch fit/);
    expect(warnings.join()).toMatch(/70 of the points are not annealed/);
  });
});

describe('a fit that is read back', () => {
  const fit = fitChinchilla(pointsOn(scratchLaw, ALONG_RUNS), used, { ...none, replicates: 2 });

  test('keeps every digit', () => {
    const read = parseFit(JSON.stringify(fit), 'fit.json');
    expect(read).toMatchObject({
      law: 'chinchilla',
      parameters: fit.parameters,
      samples: fit.samples,
      range: fit.range,
    });
  });

  test.each([
    ['no JSON', 'E = 1', /'fit.json' is not a fit: it is not JSON/],
    ['another law', '{"law":"compute"}', /is a fit of loss against compute, which says nothing of parameters/],
    ['a parameter missing', JSON.stringify({ ...fit, parameters: { E: 1 } }), /'fit.json' is not a fit: parameters.A/],
    ['null', 'null', /'fit.json' is not a fit/],
  ])('is refused: %s', (_, text, message) => {
    expect(() => parseFit(text, 'fit.json')).toThrow(message);
  });
});
