/** What a sweep of a CPT run says and shows, with losses that are given. */
import { expect, test } from 'vitest';
import { findingsOf, limitsOf, showRate } from '../../src/sweep/findings.js';
import { findMinimum } from '../../src/sweep/minimum.js';
import { sweepPage, sweepTable } from '../../src/sweep/page.js';
import type { SweepPlan } from '../../src/sweep/plan.js';
import { closeUp, lossPlot, sourcePlot } from '../../src/sweep/plot.js';
import type { Sweep, SweepRate } from '../../src/sweep/sweep.js';

/** A rate with two seeds, whose losses in fr lie 0.01 on either side; English began at 4. */
function made(rate: number, fr: number, en: number): SweepRate {
  const runs = [0, 1].map(seed => {
    const source = { language: 'en', start: 4, end: en };
    const losses = { start: 6, end: fr + (seed === 0 ? -0.01 : 0.01), source };
    return { name: `lr-${rate}-seed-${seed}`, seed, state: 'done' as const, losses };
  });
  return { rate, runs, loss: fr, losses: runs.map(({ losses }) => losses.end), sourceLoss: en };
}

const diverged: SweepRate = {
  rate: 1e-1,
  runs: [{ name: 'lr-0.1-seed-0', seed: 0, state: 'diverged', error: 'step 3: the loss is NaN' }],
  loss: undefined,
  losses: [],
};
const rates = [made(1e-4, 5.8, 4.05), made(1e-3, 5.2, 4.2), made(1e-2, 5.3, 4.9), diverged];
const sweep: Sweep = { status: 'done', rates, minimum: findMinimum(rates)! };
const plan = { folder: 'swept', language: 'fr', rate: 1e-4, runTokens: 1e6, short: { run: { tokens: 1e5 } } };
const planned = plan as unknown as SweepPlan;

test('it says which rate, what it rests on, what noise leaves, and what English it costs', () => {
  const [best, noise, trade] = findingsOf(sweep, planned);
  // the parabola through (−1, 5.8), (0, 5.2), (1, 5.3) in decades: curvature 0.35, minimum at 0.25 / 0.7
  const rate = 1e-3 * 10 ** (0.25 / 0.7);
  const lowest = (5.2 - 0.25 ** 2 / 1.4).toFixed(4);
  expect(best).toContain(
    `Learning rate ${showRate(rate)}: the parabola's loss is ${lowest} in fr, the lowest measured 5.2`,
  );
  expect(best).toContain("at the run's own 1e-4 it is 5.8000");
  expect(best).toContain('a parabola in the logarithm of the rate, through 1e-4, 1e-3, 1e-2');
  const reach = Math.sqrt(0.02 / 0.35);
  const range = [-1, 1].map(side => showRate(rate * 10 ** (side * reach)));
  expect(noise).toBe(
    'Two standard errors of a loss, of seeds and pooled over the three rates of the fit, are 0.0200: rates from ' +
      `${range[0]} to ${range[1]} cannot be told from it.`,
  );
  expect(trade).toBe(
    'For CPT it is a trade-off. At 1e-3 the loss of en ends +0.2000 from its start; at 1e-4 it is −0.1500 from there, ' +
      'and that of fr +0.6000.',
  );
  expect(limitsOf(planned)[0]).toContain('the run itself 10 times as many');
  expect(limitsOf({ ...planned, runTokens: 1e5 })).toHaveLength(1);
  const ends = [rates[1]!, diverged];
  expect(findingsOf({ status: 'done', rates: ends, minimum: findMinimum(ends)! }, planned)).toEqual([
    expect.stringContaining('It is the lowest that was measured'),
    'How far noise moves it is not known, since nothing is fitted.',
  ]);
  expect(findingsOf({ status: 'done', rates: [diverged] }, planned)).toEqual([
    'No run has a loss: every rate diverged or failed.',
  ]);
});

test('table, figures and page show every rate, and what has no loss', () => {
  const { head, rows } = sweepTable(sweep, planned);
  expect(head).toEqual(['learning rate', 'fr (nats/token)', 'by seed', 'en (nats/token)', 'en change', 'state']);
  expect(rows[1]).toEqual(['1e-3', '5.2000', '5.1900 5.2100', '4.2000', '+0.2000', 'done']);
  expect(rows[3]).toEqual(['0.1', '', '', '', '', 'diverged']);
  const dots = (svg: string) => svg.match(/<title>/g)?.length;
  expect(dots(lossPlot(sweep, 'fr'))).toBe(7);
  expect(dots(lossPlot(closeUp(sweep)!, 'fr'))).toBe(6);
  expect(dots(sourcePlot(sweep)!)).toBe(6);
  expect(closeUp(closeUp(sweep)!)).toBeUndefined();
  expect(sweepPage(sweep, planned, 'made')).toMatch(/5\.2000[\s\S]*What does not carry over[\s\S]*made/);
});
