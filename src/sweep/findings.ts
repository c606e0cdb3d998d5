/** What a sweep says, in sentences. */
import { short, signed } from '../report/numbers.js';
import type { Minimum } from './minimum.js';
import type { SweepPlan } from './plan.js';
import { bestOf } from './rates.js';
import type { Sweep, SweepRate } from './sweep.js';

/** Returns a rate with three digits. */
export const showRate = (rate: number): string => {
  const digits = Number(rate.toPrecision(3));
  return digits >= 0.1 && digits < 1000 ? String(digits) : digits.toExponential().replace('e+', 'e');
};

/** Says which rate to take, how sure that is, and what it costs in the source language. */
export function findingsOf({ minimum, rates }: Sweep, { language, rate: own }: SweepPlan): string[] {
  if (!minimum) return ['No run has a loss: every rate diverged or failed.'];
  const { rate, loss, fit } = minimum;
  const how = fit
    ? `the lowest point of a parabola in the logarithm of the rate, through ${fit.rates.map(showRate).join(', ')}`
    : 'the lowest that was measured; one beside it has no loss, or was not tried (more --rates), so nothing is fitted';
  const ownLoss = rates.find(each => each.rate === own)?.loss;
  const before =
    ownLoss === undefined || rate === own ? '' : `; at the run's own ${showRate(own)} it is ${ownLoss.toFixed(4)}`;
  const best = bestOf(rates);
  const what = fit
    ? `the parabola's loss is ${loss.toFixed(4)} in ${language}, the lowest measured ${best!.loss!.toFixed(4)} at ` +
      showRate(best!.rate)
    : `held-out loss ${loss.toFixed(4)} in ${language}`;
  return [
    `Learning rate ${showRate(rate)}: ${what}${before}. It is ${how}.`,
    noiseOf(minimum),
    ...tradeOff(rates, rate, language),
  ];
}

function noiseOf({ fit, noise, range }: Minimum): string {
  if (!fit) return 'How far noise moves it is not known, since nothing is fitted.';
  if (noise === undefined || !range) return 'How far noise moves it is not known: --seeds 2 or more tells.';
  const open = range.isOpen ? '; they may reach beyond, which the three rates of the fit cannot tell' : '';
  return (
    `Two standard errors of a loss, of seeds and pooled over the three rates of the fit, are ` +
    `${(2 * noise).toFixed(4)}: rates from ${showRate(range.low)} to ${showRate(range.high)} cannot be told from it` +
    `${open}.`
  );
}

/** Says what the next lower rate that was tried loses in the target language, and keeps of the source's. */
function tradeOff(rates: readonly SweepRate[], rate: number, language: string): string[] {
  const known = rates.filter(({ loss, sourceLoss }) => loss !== undefined && sourceLoss !== undefined);
  const distance = (other: SweepRate) => Math.abs(Math.log(other.rate / rate));
  const [nearest] = [...known].sort((a, b) => distance(a) - distance(b));
  const lower = known[known.indexOf(nearest!) - 1];
  if (!nearest || !lower) return [];
  const source = nearest.runs[0]!.losses!.source!;
  return [
    `For CPT it is a trade-off. At ${showRate(nearest.rate)} the loss of ${source.language} ends ` +
      `${signed(nearest.sourceLoss! - source.start)} from its start; at ${showRate(lower.rate)} it is ` +
      `${signed(lower.sourceLoss! - nearest.sourceLoss!)} from there, and that of ${language} ` +
      `${signed(lower.loss! - nearest.loss!)}.`,
  ];
}

/** Says what of a sweep does not hold for another run. */
export function limitsOf({ short: { run }, runTokens }: SweepPlan): string[] {
  const longer = runTokens / run.tokens;
  return [
    ...(longer > 1
      ? [
          `The runs have ${short(run.tokens)} tokens, the run itself ${short(longer)} times as many: the best rate ` +
            'falls with the length of a run (Bjorck et al. 2024, arXiv 2409.19913), so take it as an upper end.',
        ]
      : []),
    'It holds for this model and batch: larger batches bear higher rates (Malladi et al. 2022, arXiv 2205.10287), ' +
      'larger models lower ones (Yang et al. 2022, arXiv 2203.03466).',
  ];
}
