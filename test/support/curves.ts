/** Loss curves: the measured ones, and synthetic ones on a law. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { packageRoot } from '../../src/files.js';
import { Random } from '../../src/random.js';
import type { LossCurve } from '../../src/scaling/curve.js';
import { parseCurve } from '../../src/scaling/curve-file.js';
import { type CurvePredictor, predictCurve } from '../../src/scaling/curve-fit.js';

export const curvePath = (size: string, name: string): string =>
  join(packageRoot, `test/fixtures/laws/annealing_${size}/${name}.csv`);

export const measuredCurve = (size: string, name: string): LossCurve =>
  parseCurve(readFileSync(curvePath(size, name), 'utf8'), name);

export const FITTED = ['constant_24000', 'cosine_24000', 'wsdcon_9'];
export const UNSEEN = [
  'cosine_72000',
  'constant_72000',
  'wsd_20000_24000',
  'wsdld_20000_24000',
  'wsdcon_3',
  'wsdcon_18',
];

/** The rates of a run of `steps`: a warm-up, a constant, and a linear fall to `end` from the share `fall` on. */
export function ratesOf(steps: number, fall: number, end: number): Float64Array {
  const warmup = Math.round(steps / 20);
  return Float64Array.from({ length: steps }, (_, i) => {
    if (i < warmup) return (1e-3 * (i + 1)) / warmup;
    const progress = Math.max(0, (i + 1) / steps - fall) / Math.max(1e-9, 1 - fall);
    return 1e-3 * (1 + (end - 1) * progress);
  });
}

/** Returns a curve of a law, a row every `every` steps after the warm-up, with a deviation of ln L. */
export function curveOn(
  law: CurvePredictor,
  rates: Float64Array,
  {
    noise = 0,
    seed = 0,
    every = 20,
    parameters,
  }: { noise?: number; seed?: number; every?: number; parameters?: number },
): LossCurve {
  const random = new Random(seed, 'noise');
  const first = law.source ? every : Math.ceil(rates.length / 20 / every) * every;
  const rows = Array.from({ length: Math.floor((rates.length - first) / every) + 1 }, (_, i) => ({
    step: first + i * every,
    loss: 1,
  }));
  const curve = { name: `${parameters}`, rates, rows, ...(parameters && { parameters }) };
  const losses = predictCurve(law, curve);
  return {
    ...curve,
    rows: rows.map(({ step }, i) => ({ step, loss: losses[i]! * Math.exp(noise * random.normal()) })),
  };
}
