/** The laws of annealing, of training from scratch and of CPT: see `curve-laws.ts` for their formulas. */
import { mean } from '../mean.js';
import type { SummedPoint } from './curve-points.js';
import { EXPONENT, floorAndSum, scales, sizeTerm } from './curve-terms.js';
import type { Form, FormParameter } from './form.js';

export function annealing(points: readonly SummedPoint[], sized: boolean): Form {
  const logS1 = points.map(({ S1 }) => Math.log(S1));
  const logN = points.map(({ parameters }) => Math.log(parameters));
  const [x, n] = [logS1.map(value => value - mean(logS1)), logN.map(value => value - mean(logN))];
  const { loss, S2 } = scales(points);
  // an area that is never above 0 leaves C open, which the diagnosis says
  const C: FormParameter = { name: 'C', kind: 'positive', start: [(0.001 * loss) / S2, (0.1 * loss) / S2] };
  const B: FormParameter = { name: 'B', kind: 'positive', start: [0.05 * loss, 0.5 * loss] };
  return {
    parameters: [
      ...floorAndSum(points, logS1),
      // C goes with N^γ, which is (1/N)^−γ
      ...(sized ? [...sizeTerm(B, 'beta', mean(logN)), ...sizeTerm(C, 'gamma', -mean(logN))] : [C]),
    ],
    points: points.length,
    predict(values, i, slopes) {
      const [L0, A, alpha] = values as unknown as [number, number, number];
      const sum = Math.exp(-alpha * x[i]!);
      slopes[0] = 1;
      slopes[1] = sum;
      slopes[2] = -A * sum * x[i]!;
      const area = points[i]!.S2;
      if (!sized) {
        slopes[3] = -area;
        return L0 + A * sum - values[3]! * area;
      }
      const [, , , B, beta, C, gamma] = values as unknown as number[];
      const size = Math.exp(-beta! * n[i]!);
      const annealed = area * Math.exp(gamma! * n[i]!);
      slopes[3] = size;
      slopes[4] = -B! * size * n[i]!;
      slopes[5] = -annealed;
      slopes[6] = -C! * annealed * n[i]!;
      return L0 + A * sum + B! * size - C! * annealed;
    },
  };
}

export function annealingCpt(points: readonly SummedPoint[], sourceS1: number): Form {
  const logS1 = points.map(({ S1 }) => Math.log(sourceS1 + S1));
  const x = logS1.map(value => value - mean(logS1));
  const { loss, S2 } = scales(points);
  const most = Math.max(...points.map(({ S1 }) => S1));
  return {
    parameters: [
      ...floorAndSum(points, logS1),
      { name: 'C', kind: 'positive', start: [(0.001 * loss) / S2, (0.1 * loss) / S2] },
      { name: 'B', kind: 'real', start: [-loss, loss] },
      { name: 'E', kind: 'positive', start: [1 / most, 1000 / most] },
      { name: 'beta', kind: 'exponent', start: EXPONENT },
    ],
    points: points.length,
    predict(values, i, slopes) {
      const [L0, A, alpha, C, B, E, beta] = values as unknown as Seven;
      const { S1, S2: area } = points[i]!;
      const sum = Math.exp(-alpha * x[i]!);
      const base = 1 + E * S1;
      const left = base ** -beta;
      slopes[0] = 1;
      slopes[1] = sum;
      slopes[2] = -A * sum * x[i]!;
      slopes[3] = -area;
      slopes[4] = 1 - left;
      slopes[5] = (B * beta * left * S1) / base;
      slopes[6] = B * left * Math.log(base);
      return L0 + A * sum - C * area + B * (1 - left);
    },
  };
}

type Seven = [number, number, number, number, number, number, number];
