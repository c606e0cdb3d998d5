/** The page of a sweep, and its table. */

import { atScales, escapeHtml, figure, footerHtml, htmlPage, scrolled, table } from '../report/html.js';
import { signed } from '../report/numbers.js';
import { TOOLTIP } from '../report/tooltip.js';
import { findingsOf, limitsOf, showRate } from './findings.js';
import type { SweepPlan } from './plan.js';
import { closeUp, lossPlot, sourcePlot } from './plot.js';
import { type Sweep, type SweepRate, sourceOf } from './sweep.js';

/** Returns the head and the rows of a sweep's table, as text. */
export function sweepTable(sweep: Sweep, { language }: SweepPlan): { head: string[]; rows: string[][] } {
  const { rates } = sweep;
  const source = sourceOf(sweep);
  const hasSeeds = rates.some(({ runs }) => runs.length > 1);
  const head = [
    'learning rate',
    `${language} (nats/token)`,
    ...(hasSeeds ? ['by seed'] : []),
    ...ofSource(source?.language),
    'state',
  ];
  const rows = rates.map(each => [
    showRate(each.rate),
    each.loss?.toFixed(4) ?? '',
    ...(hasSeeds ? [each.losses.map(loss => loss.toFixed(4)).join(' ')] : []),
    ...(source
      ? [each.sourceLoss?.toFixed(4) ?? '', each.sourceLoss ? signed(each.sourceLoss - source.start) : '']
      : []),
    stateOf(each),
  ]);
  return { head, rows };
}

const ofSource = (language: string | undefined): string[] =>
  language === undefined ? [] : [`${language} (nats/token)`, `${language} change`];

/** Says how the runs of a rate ended: all done, or how the last of them did. */
function stateOf({ runs }: SweepRate): string {
  const last = runs.at(-1)!;
  return last.state === 'done' || runs.length === 1 ? last.state : `${last.state} with seed ${last.seed}`;
}

/** Returns the self-contained page of a sweep. */
export function sweepPage(sweep: Sweep, plan: SweepPlan, made: string): string {
  const { head, rows } = sweepTable(sweep, plan);
  const cells = rows.map(row => row.map(escapeHtml));
  const hasLoss = sweep.rates.some(({ losses }) => losses.length > 0);
  const near = closeUp(sweep);
  const figures = [
    ...(hasLoss ? [atScales(scale => lossPlot(sweep, plan.language, scale))] : []),
    ...(near ? [atScales(scale => lossPlot(near, plan.language, scale))] : []),
    ...(sourceOf(sweep) ? [atScales(scale => sourcePlot(sweep, scale)!)] : []),
  ];
  const body = `${findingsOf(sweep, plan)
    .map(text => `<p class="finding">${escapeHtml(text)}</p>`)
    .join('\n')}
<div class="plots">${figures.map(figure).join('\n')}</div>
<p class="note">Losses at the ends of the runs, in nats per token: of all rates, and of those of the fit. Dots are runs,
the line goes through the means over seeds; the dashed curve is the parabola, the dashed line the rate to take, and
shaded what noise cannot tell from it. Point at a dot for its numbers.</p>
<h2>Rates</h2>
${scrolled(table(head, cells), 'Rates')}
<h2>What does not carry over</h2>
${limitsOf(plan)
  .map(text => `<p>${escapeHtml(text)}</p>`)
  .join('\n')}${footerHtml(made)}`;
  return htmlPage(`Learning rate of ${plan.folder}`, body, TOOLTIP);
}
