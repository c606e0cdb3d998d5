/** The multi-power law: see `curve-laws.ts` for its formula. */
import { mean } from '../mean.js';
import type { SummedPoint } from './curve-points.js';
import { EXPONENT, floorAndSum, sizeTerm } from './curve-terms.js';
import type { Form, FormParameter } from './form.js';

/** What an exponent of the falls is drawn to where curves say little of it: one half, where the authors' fits begin. */
const PRIOR = 0.5;

/** What falls of the rate win is summed over those before a row, gathered by stretches of steps (`curve-points.ts`). */
export function multiPower(points: readonly SummedPoint[], sized: boolean): Form {
  const logS1 = points.map(({ S1 }) => Math.log(S1));
  const logN = points.map(({ parameters }) => Math.log(parameters));
  const [x, n] = [logS1.map(value => value - mean(logS1)), logN.map(value => value - mean(logN))];
  const loss = Math.min(...points.map(point => point.loss));
  const most = Math.max(...points.map(({ S1 }) => S1));
  const fallen = [...new Set(points.map(({ drops }) => drops))].flat().filter(({ fall }) => fall !== 0);
  const logRates = fallen.map(({ logRate }) => logRate);
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
      { name: 'beta', kind: 'exponent', start: EXPONENT, prior: PRIOR },
      { name: 'gamma', kind: 'exponent', start: EXPONENT, prior: PRIOR },
      ...(sized ? sizeTerm(F, 'phi', mean(logN)) : []),
    ],
    points: points.length,
    predict(values, i, slopes) {
      const [L0, A, alpha, B, C, beta, gamma] = values as unknown as Seven;
      const { S1, drops, before, rest } = points[i]!;
      const sum = Math.exp(-alpha * x[i]!);
      let [won, byC, byBeta, byGamma] = [0, 0, 0, 0];
      for (let k = 0; k <= before; k++) {
        const drop = k < before ? drops[k]! : rest;
        const { fall } = drop;
        if (fall === 0) continue;
        const logRate = drop.logRate - meanLogRate;
        const scaled = C * Math.exp(-gamma * logRate) * (S1 - drop.S1);
        const logBase = Math.log(1 + scaled);
        const left = Math.exp(-beta * logBase);
        won += fall * (1 - left);
        const byScaled = (fall * beta * left * scaled) / (1 + scaled);
        byC += byScaled;
        byGamma -= byScaled * logRate;
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
