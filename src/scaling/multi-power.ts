/** The multi-power law: see `curve-laws.ts` for its formula. */
import { mean } from '../mean.js';
import type { SummedPoint } from './curve-points.js';
import { EXPONENT, floorAndSum, sizeTerm } from './curve-terms.js';
import type { Form, FormParameter } from './form.js';

/**
 * What each fall of the rate wins is summed over the falls before a row. They are gathered by stretches of steps, a
 * 128th of the curve each: the newest stretch is where it makes a difference, and there little is won yet.
 */
export function multiPower(points: readonly SummedPoint[], sized: boolean): Form {
  const logS1 = points.map(({ S1 }) => Math.log(S1));
  const logN = points.map(({ parameters }) => Math.log(parameters));
  const [x, n] = [logS1.map(value => value - mean(logS1)), logN.map(value => value - mean(logN))];
  const loss = Math.min(...points.map(point => point.loss));
  const most = Math.max(...points.map(({ S1 }) => S1));
  const logRates = [...new Set(points.map(({ drops }) => drops))].flatMap(({ logRate }) => Array.from(logRate));
  const rate = logRates.length > 0 ? Math.exp(Math.max(...logRates)) : 1;
  const meanLogRate = logRates.length > 0 ? mean(logRates) : 0;
  const F: FormParameter = { name: 'F', kind: 'positive', start: [0.05 * loss, 0.5 * loss] };
  return {
    parameters: [
      ...floorAndSum(points, logS1),
      { name: 'B', kind: 'positive', start: [(0.01 * loss) / rate, (0.3 * loss) / rate] },
      {
        name: 'C',
        kind: 'positive',
        start: [0.1 / most, 100 / most],
        centre: { exponent: 'gamma', log: meanLogRate },
      },
      { name: 'beta', kind: 'exponent', start: EXPONENT },
      { name: 'gamma', kind: 'exponent', start: EXPONENT },
      ...(sized ? sizeTerm(F, 'phi', mean(logN)) : []),
    ],
    points: points.length,
    predict(values, i, slopes) {
      const [L0, A, alpha, B, C, beta, gamma] = values as unknown as Seven;
      const { S1, drops, before } = points[i]!;
      const sum = Math.exp(-alpha * x[i]!);
      let [won, byC, byBeta, byGamma] = [0, 0, 0, 0];
      for (let k = 0; k < before; k++) {
        const fall = drops.fall[k]!;
        const scaled = C * Math.exp(-gamma * (drops.logRate[k]! - meanLogRate)) * (S1 - drops.S1[k]!);
        const logBase = Math.log(1 + scaled);
        const left = Math.exp(-beta * logBase);
        won += fall * (1 - left);
        const byScaled = (fall * beta * left * scaled) / (1 + scaled);
        byC += byScaled;
        byGamma -= byScaled * (drops.logRate[k]! - meanLogRate);
        byBeta += fall * left * logBase;
      }
      slopes[0] = 1;
      slopes[1] = sum;
      slopes[2] = -A * sum * x[i]!;
      slopes[3] = -won;
      slopes[4] = (-B * byC) / C;
      slopes[5] = -B * byBeta;
      slopes[6] = -B * byGamma;
      const predicted = L0 + A * sum - B * won;
      if (!sized) return predicted;
      const [F, phi] = [values[7]!, values[8]!];
      const size = Math.exp(-phi * n[i]!);
      slopes[7] = size;
      slopes[8] = -F * size * n[i]!;
      return predicted + F * size;
    },
  };
}

type Seven = [number, number, number, number, number, number, number];
