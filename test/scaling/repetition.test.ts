import { describe, expect, test } from 'vitest';
import { Random } from '../../src/random.js';
import { allocate } from '../../src/scaling/allocation.js';
import { fitChinchilla, fitCpt, type LawFitResult } from '../../src/scaling/fit-result.js';
import { FormObjective } from '../../src/scaling/form.js';
import type { LawParameters } from '../../src/scaling/law.js';
import {
  effective,
  fillableParameters,
  PUBLISHED_REPETITION,
  planRepeated,
  repeatedLossAt,
  repetitionForm,
  worth,
} from '../../src/scaling/repetition.js';
import { fitRepetition } from '../../src/scaling/repetition-fit.js';
import { ALONG_RUNS, cptLaw, pointsOn, scratchLaw } from '../support/laws.js';

const used = {
  ...{ file: 'points.csv', rows: 84, points: 84, where: {}, excluded: {}, columns: {}, unannealed: 0 },
  parameterCount: 'total' as const,
};
const some = { replicates: 40, seed: 0, resample: 'rows' } as const;
const truth = { R_D: 12, R_N: 6 };

/** Sizes that are small and large for their unique tokens, over 1 to 60 passes. */
function repeatedPoints(law: LawParameters, noise: number) {
  const random = new Random(1, 'noise');
  return [5e7, 4e8, 3e9, 3e10].flatMap(parameters =>
    [1e8, 1e9, 1e10].flatMap(uniqueTokens =>
      [1, 3, 8, 20, 60].map(passes => {
        const tokens = passes * uniqueTokens;
        const loss = repeatedLossAt(law, truth, parameters, tokens, uniqueTokens) * Math.exp(noise * random.normal());
        return { parameters, tokens, uniqueTokens, loss };
      }),
    ),
  );
}

describe('what repeated tokens are worth', () => {
  test("is the paper's formula: as new for a few passes, bounded for ever", () => {
    const { R_D } = PUBLISHED_REPETITION;
    expect(worth(50, 100, R_D)).toBe(50);
    expect(worth(400, 100, R_D) / 100).toBeCloseTo(1 + R_D * (1 - Math.exp(-3 / R_D)), 12);
    // up to four passes are nearly as good as new
    expect(worth(400, 100, R_D) / 400).toBeGreaterThan(0.9);
    expect(worth(1e9, 100, R_D) / 100).toBeCloseTo(1 + R_D, 9);
  });

  test("has the losses that the authors' repository prints, by their law of English text", () => {
    const exponent = 0.3526596;
    const law: LawParameters = {
      ...{ E: Math.exp(0.6254804), A: Math.exp(6.255414), B: Math.exp(7.3049974) },
      ...{ alpha: exponent, beta: exponent, gamma: 0 },
    };
    const lossOf = (N: number, D: number) => repeatedLossAt(law, PUBLISHED_REPETITION, N, D, 25e9);
    expect(lossOf(6.34e9, 242e9)).toBeCloseTo(2.2256440889984477, 12);
    expect(lossOf(8.67e9, 178e9)).toBeCloseTo(2.2269634075087867, 12);
  });

  test('fills the size whose optimum the unique tokens are', () => {
    const { N_opt, D_opt } = allocate(scratchLaw, 1e20);
    expect(fillableParameters(scratchLaw, D_opt) / N_opt).toBeCloseTo(1, 9);
    expect(effective(scratchLaw, truth, N_opt, D_opt, D_opt).N / N_opt).toBeCloseTo(1, 9);
    expect(effective(scratchLaw, truth, 9 * N_opt, D_opt, D_opt).N / N_opt).toBeCloseTo(
      1 + truth.R_N * (1 - Math.exp(-8 / truth.R_N)),
      9,
    );
  });

  test.each([
    ['scratch', scratchLaw],
    ['cpt', cptLaw],
  ])('has a gradient that agrees with central differences: %s', (_, law) => {
    const points = repeatedPoints(law, 2e-3);
    const objective = new FormObjective(
      repetitionForm(law, points),
      points.map(({ loss }) => loss),
    );
    const theta = objective.fromValues({ R_D: 9, R_N: 4 });
    const jacobian = objective.jacobian(theta);
    for (const j of [0, 1]) {
      const at = (step: number) => objective.residuals(theta.map((t, k) => (k === j ? t + step : t)));
      const [plus, minus] = [at(1e-5), at(-1e-5)];
      jacobian.forEach((row, i) => {
        expect(row[j]).toBeCloseTo((plus[i]! - minus[i]!) / 2e-5, 7);
      });
    }
  });
});

describe('a fit of repetition', () => {
  const scratch = fitChinchilla(pointsOn(scratchLaw, ALONG_RUNS), used, { ...some, replicates: 0 });
  const cpt = fitCpt(pointsOn(cptLaw, ALONG_RUNS), used, scratch, { ...some, replicates: 0 });
  const saved = (fit: LawFitResult) => JSON.parse(JSON.stringify(fit));

  test.each([
    ['scratch', scratchLaw, scratch],
    ['CPT', cptLaw, cpt],
  ])('keeps a law of %s, and gives back both constants within their intervals', (_, law, base) => {
    const fit = fitRepetition(repeatedPoints(law, 2e-3), saved(base), some);
    expect(fit).toMatchObject({ open: [], warnings: [], points: 60, repeated: 48 });
    for (const name of ['R_D', 'R_N'] as const) {
      expect(fit.intervals[name]![0]).toBeLessThan(truth[name]);
      expect(fit.intervals[name]![1]).toBeGreaterThan(truth[name]);
    }
    expect(fit.rms).toBeLessThan(fit.rmsWithout / 5);
  });

  test('of small models alone leaves R_N open, without passes is refused', () => {
    const points = repeatedPoints(scratchLaw, 2e-3);
    const small = points.filter(({ parameters, uniqueTokens }) => parameters === 5e7 && uniqueTokens > 1e9);
    const fit = fitRepetition(small, saved(scratch), { ...some, replicates: 0 });
    expect(fit.open).toContain('R_N');
    expect(fit.warnings.join()).toMatch(/leave R_N open: add runs of models that are larger/);
    const once = points.filter(({ tokens, uniqueTokens }) => tokens === uniqueTokens);
    expect(() => fitRepetition(once, saved(scratch), some)).toThrow(/0 of the 12 points repeat tokens/);
  });
});

describe('a plan on few tokens', () => {
  const C = 1e20;

  test('is the optimum where no neighbour is better, and smaller than that of endless text', () => {
    const found = planRepeated(scratchLaw, truth, C, 2e8);
    for (const factor of [0.97, 1.03]) {
      const N = found.N * factor;
      expect(repeatedLossAt(scratchLaw, truth, N, C / (6 * N), 2e8)).toBeGreaterThan(found.loss);
    }
    expect(found.loss).toBeGreaterThan(allocate(scratchLaw, C).loss);
    expect(found.passes).toBeGreaterThan(1);
  });

  test('of enough tokens is the plan without repetition', () => {
    const { N_opt, loss } = allocate(scratchLaw, C);
    const found = planRepeated(scratchLaw, truth, C, 1e15);
    expect(found.N / N_opt).toBeCloseTo(1, 6);
    expect(found.loss).toBeCloseTo(loss, 12);
  });
});
