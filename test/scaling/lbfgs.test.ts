import { describe, expect, test } from 'vitest';
import { type Differentiable, minimize } from '../../src/scaling/lbfgs.js';

const rosenbrock: Differentiable = (x, gradient) => {
  gradient.fill(0);
  let value = 0;
  for (let i = 0; i + 1 < x.length; i++) {
    const [a, b] = [x[i]!, x[i + 1]!];
    value += 100 * (b - a * a) ** 2 + (1 - a) ** 2;
    gradient[i]! += -400 * a * (b - a * a) - 2 * (1 - a);
    gradient[i + 1]! += 200 * (b - a * a);
  }
  return value;
};

describe('L-BFGS', () => {
  test('finds the minimum of a quadratic with curvatures from 1e-4 to 1e4', () => {
    const curvatures = [1e-4, 1e-2, 1, 1e2, 1e4];
    const quadratic: Differentiable = (x, gradient) => {
      curvatures.forEach((c, i) => {
        gradient[i] = c * (x[i]! - i);
      });
      return curvatures.reduce((sum, c, i) => sum + (c * (x[i]! - i) ** 2) / 2, 0);
    };
    const { x, converged } = minimize(quadratic, Float64Array.of(9, -9, 9, -9, 9));
    expect(converged).toBe(true);
    // a gradient of at most 1e-12 leaves each coordinate within 1e-12 / curvature
    curvatures.forEach((c, i) => {
      expect(Math.abs(x[i]! - i)).toBeLessThanOrEqual(1e-12 / c + 1e-12);
    });
  });

  test.each([2, 6])("finds the minimum of Rosenbrock's function in %i dimensions", n => {
    const { x, converged } = minimize(
      rosenbrock,
      Float64Array.from({ length: n }, (_, i) => (i % 2 ? 1 : -1.2)),
    );
    expect(converged).toBe(true);
    for (const value of x) expect(value).toBeCloseTo(1, 8);
  });

  test('crosses the kinks of a sum of absolute values with rounded corners', () => {
    const corners = [-3, -1, 0.25, 2, 7];
    const median: Differentiable = ([x], gradient) => {
      gradient[0] = corners.reduce((sum, c) => sum + Math.max(-1, Math.min(1, (x! - c) / 1e-3)), 0);
      return corners.reduce(
        (sum, c) => sum + (Math.abs(x! - c) < 1e-3 ? (x! - c) ** 2 / 2e-3 : Math.abs(x! - c) - 5e-4),
        0,
      );
    };
    expect(minimize(median, Float64Array.of(100)).x[0]).toBeCloseTo(0.25, 8);
  });

  test('steps back from where the function is not defined', () => {
    // ln x − x has its maximum at 1; a first step from 1e-3 is far beyond 0
    const barrier: Differentiable = ([x], gradient) => {
      gradient[0] = 1 - 1 / x!;
      return x! - Math.log(x!);
    };
    expect(minimize(barrier, Float64Array.of(50)).x[0]).toBeCloseTo(1, 6);
  });

  test('says when it ran out of iterations', () => {
    expect(minimize(rosenbrock, Float64Array.of(-1.2, 1), { maxIterations: 3 })).toMatchObject({
      iterations: 3,
      converged: false,
    });
  });
});
