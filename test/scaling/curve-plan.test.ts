import { describe, expect, test } from 'vitest';
import { type CurveFit, fitCurves } from '../../src/scaling/curve-fit.js';
import { predictEnd } from '../../src/scaling/curve-plan.js';
import { FITTED, measuredCurve, ratesOf, UNSEEN } from '../support/curves.js';

const fits = new Map<string, CurveFit>();
function fitOf(size: string): CurveFit {
  const fit =
    fits.get(size) ??
    fitCurves(
      'annealing',
      FITTED.map(name => measuredCurve(size, name)),
      { replicates: 30, seed: 0 },
    );
  fits.set(size, fit);
  return fit;
}

/** The mean of a curve's last five rows: a single row's noise is no part of the law. */
const endOf = (rows: readonly { readonly loss: number }[]) =>
  rows.slice(-5).reduce((sum, { loss }) => sum + loss, 0) / 5;

describe.each(['25M', '100M'])('the end of a measured run of %s', size => {
  test.each(UNSEEN)('under %s, a schedule that the fit has not seen, is in the interval', name => {
    const { rates, rows } = measuredCurve(size, name);
    const { loss, interval } = predictEnd(fitOf(size), rates);
    const end = endOf(rows);
    expect(interval[0]).toBeLessThan(end);
    expect(interval[1]).toBeGreaterThan(end);
    // an interval that says nothing would cover too
    expect((interval[1] - interval[0]) / loss).toBeLessThan(0.03);
  });

  test.each([...FITTED, ...UNSEEN])('under %s is in the interval when its first half is known', name => {
    const { rates, rows } = measuredCurve(size, name);
    const known = rows.slice(0, rows.length >> 1);
    const { loss, interval, known: used } = predictEnd(fitOf(size), rates, { known });
    const end = endOf(rows);
    expect(interval[0]).toBeLessThan(end);
    expect(interval[1]).toBeGreaterThan(end);
    expect((interval[1] - interval[0]) / loss).toBeLessThan(0.03);
    expect(used!.step).toBe(known.at(-1)!.step);
    expect(used!.refitted.C).toBeCloseTo(fitOf(size).parameters.C!, 9);
  });
});

test('of a run that has hardly begun is refused, of one far beyond the curves warned of', () => {
  const fit = fitOf('25M');
  const { rates, rows } = measuredCurve('25M', 'cosine_72000');
  expect(() => predictEnd(fit, rates, { known: rows.slice(0, 5) })).toThrow(/5 rows after warm-up are known/);
  expect(predictEnd(fit, ratesOf(200_000, 1, 1)).warnings.join()).toMatch(
    /extrapolation: the run ends at S1 195 \(fitted: 0.324 to 6.85\)/,
  );
  expect(fit.leftOut.map(({ curve }) => curve)).toEqual(FITTED);
});
