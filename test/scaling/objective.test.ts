import { describe, expect, test } from 'vitest';
import { CHINCHILLA, cptProblem, EXTENDED } from '../../src/scaling/fit.js';
import { lossAt } from '../../src/scaling/law.js';
import { HUBER_DELTA, huber, LawObjective } from '../../src/scaling/objective.js';
import { ALONG_RUNS, cptLaw, pointsOn, scratchLaw } from '../support/laws.js';

const problems = [
  ['chinchilla', CHINCHILLA],
  ['extended', EXTENDED],
  ['cpt', cptProblem(scratchLaw)],
] as const;
/** Off the optimum, so that residuals lie on both sides of Huber's δ. */
const points = pointsOn(cptLaw, ALONG_RUNS, { noise: 2e-3 });
const near = { E: 1.552, A: 421, B: 434, alpha: 0.4, beta: 0.2, gamma: 0.08 };

describe('the objective', () => {
  test('is the sum, not the mean, of Huber terms of the log loss', () => {
    const objective = new LawObjective(points, EXTENDED);
    const direct = points.reduce((sum, { parameters, tokens, loss }) => {
      const r = Math.abs(Math.log(lossAt(near, parameters, tokens)) - Math.log(loss));
      return sum + (r <= 1e-3 ? (r * r) / 2 : 1e-3 * (r - 5e-4));
    }, 0);
    expect(objective.value(objective.fromLaw(near), new Float64Array(6)) / direct).toBeCloseTo(1, 9);
  });

  test("has Huber's function: a parabola, then a line that goes on with its slope", () => {
    expect(huber(HUBER_DELTA / 2)).toBe(HUBER_DELTA ** 2 / 8);
    expect(huber(-HUBER_DELTA)).toBeCloseTo(HUBER_DELTA ** 2 / 2, 15);
    expect(huber(1) - huber(0.5)).toBeCloseTo(HUBER_DELTA / 2, 15);
  });

  test.each(problems)('%s: the gradient agrees with central differences', (_, problem) => {
    const objective = new LawObjective(points, problem);
    const theta = objective.fromLaw(near);
    const gradient = new Float64Array(theta.length);
    objective.value(theta, gradient);
    const ignored = new Float64Array(theta.length);
    const h = 1e-6;
    for (let i = 0; i < theta.length; i++) {
      const at = (step: number) =>
        objective.value(
          theta.map((t, j) => (j === i ? t + step : t)),
          ignored,
        );
      const difference = (at(h) - at(-h)) / (2 * h);
      // within h of a kink the curvature jumps, by at most Σ (∂ ln L)² over the points: below 1e3 · h here
      expect(Math.abs(gradient[i]! - difference)).toBeLessThan(1e-4 * Math.abs(gradient[i]!) + 1e3 * h * 1e-3);
      expect(Math.abs(gradient[i]!)).toBeGreaterThan(1e-5);
    }
  });

  test('rises beyond the largest exponent, with its gradient', () => {
    const objective = new LawObjective(points, CHINCHILLA);
    const at = (alpha: number) => {
      const gradient = new Float64Array(5);
      return { value: objective.value(objective.fromLaw({ ...near, alpha }), gradient), slope: gradient[3]! };
    };
    // one point's Huber term changes by δ·|Δ ln L| at most, and the wall by half of a point's excess squared
    expect(at(7).value).toBeGreaterThan(at(5).value + points.length);
    expect(at(7).slope).toBeGreaterThan(points.length);
    expect(at(-7).slope).toBeLessThan(-points.length);
  });

  test.each(problems)('%s: the Jacobian agrees with central differences', (_, problem) => {
    const objective = new LawObjective(points, problem);
    const theta = objective.fromLaw(near);
    const jacobian = objective.jacobian(theta);
    const h = 1e-5;
    for (let j = 0; j < theta.length; j++) {
      const at = (step: number) => objective.residuals(theta.map((t, k) => (k === j ? t + step : t)));
      const [plus, minus] = [at(h), at(-h)];
      for (let i = 0; i < points.length; i++) {
        expect(jacobian[i]![j]).toBeCloseTo((plus[i]! - minus[i]!) / (2 * h), 7);
      }
    }
  });

  test.each(problems)('%s: a law survives the way to theta and back, but for what is held', (_, problem) => {
    const objective = new LawObjective(points, problem);
    const law = objective.toLaw(objective.fromLaw(near));
    for (const name of ['E', 'A', 'B', 'alpha', 'beta', 'gamma'] as const) {
      const expected = problem.free.includes(name) ? near[name] : problem.held[name];
      expect(law[name]).toBeCloseTo(expected, 8);
    }
  });
});
