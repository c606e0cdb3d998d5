/** What runs show, in sentences, for the terminal and for the page. */
import type { Forgetting, ReplayComparison } from './forgetting.js';
import { percent, short, signed } from './numbers.js';
import { probeFindings } from './probes.js';
import {
  type Comparison,
  compareRuns,
  curveOf,
  languagesOf,
  type RunRecord,
  refusedPairs,
  sameTokens,
  targetOf,
  unitOf,
} from './runs.js';

/** Says in one sentence what a pair of runs shows. */
function sentence(comparison: Comparison): string {
  const { scratch, cpt, language, unit, savings } = comparison;
  if (!sameTokens(scratch, cpt)) return sentencePerByte(comparison);
  const { loss, savedTokens, savedFlops } = savings;
  const goal =
    `the ${language} loss of ${loss.toFixed(3)} ${unit} that '${scratch.config.name}' reached with ` +
    `${short(savings.scratch.tokens)} tokens`;
  if (!savings.cpt || savedTokens === undefined || savedFlops === undefined) {
    return `'${cpt.config.name}' did not reach ${goal}.`;
  }
  const verdict =
    savedTokens >= 0
      ? `${percent(savedTokens)} of the tokens and ${percent(savedFlops)} of the FLOPs saved`
      : `${percent(-savedTokens)} more tokens and ${percent(-savedFlops)} more FLOPs: nothing saved`;
  return (
    `'${cpt.config.name}' reached ${goal} after ${short(savings.cpt.tokens)}: ${verdict}, ` +
    'the source model not counted.'
  );
}

/** Says the same of runs with different vocabularies, whose tokens do not compare. */
function sentencePerByte({
  scratch,
  cpt,
  language,
  savings: { loss, scratch: from, cpt: to, savedFlops },
}: Comparison) {
  const goal =
    `the ${loss.toFixed(3)} bits per byte of ${language} that '${scratch.config.name}' reached with ` +
    `${short(from.flops)} FLOPs`;
  if (!to || savedFlops === undefined) return `'${cpt.config.name}' did not reach ${goal}.`;
  const verdict = savedFlops >= 0 ? `${percent(savedFlops)} saved` : `${percent(-savedFlops)} more: nothing saved`;
  return (
    `'${cpt.config.name}' reached ${goal} after ${short(to.flops)}: ${verdict}, the source model not counted. ` +
    'Their vocabularies differ, so that losses are compared per byte, and tokens not at all.'
  );
}

/** Says what the runs show together, one sentence each. */
export function findingsOf(runs: readonly RunRecord[]): string[] {
  const refused = refusedPairs(runs).map(({ scratch, cpt }) =>
    sameTokens(scratch, cpt)
      ? `One of '${cpt.config.name}' and '${scratch.config.name}' has no bits per byte beside its held-out losses, ` +
        'which all runs are compared in here, since the vocabularies of others differ: ' +
        'the two can be compared by themselves.'
      : `'${cpt.config.name}' and '${scratch.config.name}' have different vocabularies, ` +
        'and one of them has no bits per byte beside its held-out losses: they are not compared, ' +
        'since losses per token would mean nothing.',
  );
  return [...compareRuns(runs).map(sentence), ...refused, ...forgetting(runs), ...probeFindings(runs)];
}

/** Says how the other languages fared in a CPT run: how much was forgotten, or that nothing was. */
function forgetting(runs: readonly RunRecord[]): string[] {
  const unit = unitOf(runs);
  return runs.flatMap(run => {
    if (run.config.method !== 'cpt') return [];
    const target = targetOf(run);
    return languagesOf([run]).flatMap(language => {
      const curve = curveOf(run, language, unit);
      const [first, last] = [curve[0], curve.at(-1)];
      if (language === target || !first || !last || curve.length < 2) return [];
      const change = last.loss - first.loss;
      const verb = change > 0 ? 'rose' : 'fell';
      return [
        `The ${language} loss of '${run.config.name}' ${verb} from ${first.loss.toFixed(3)} to ` +
          `${last.loss.toFixed(3)} ${unit}.`,
      ];
    });
  });
}

/** Says in sentences what each ratio of replay cost and kept. */
export function replayFindings({ source, target, unit, tokens, unequal, effects }: ReplayComparison): string[] {
  const [least, ...others] = effects;
  const sentences = others.map(({ forgetting: { run, replay }, gain, priceLoss, priceTokens }) => {
    const kept =
      `${percent(replay)} replay ('${run.config.name}') against ${percent(least!.forgetting.replay)}, ` +
      `after ${short(tokens)} tokens: ${source} loss ${signed(-gain)} ${unit}`;
    const paid = priceTokens >= 0 ? `${short(priceTokens)} tokens lost` : `${short(-priceTokens)} tokens ahead`;
    return `${kept}, ${target} loss ${signed(priceLoss)} ${unit} (${paid}).`;
  });
  const note = 'The runs have different budgets: of the longer ones the learning rate had not come down as far.';
  return unequal ? [...sentences, note] : sentences;
}

/**
 * Says where the changes of the source loss start: the source model's own record may count other tokens of other text.
 */
export function startOfForgetting(all: readonly Forgetting[]): string {
  const start =
    "Changes are from each run's own evaluation before its first step: its source model, in its own tokens.";
  const extended = all.filter(({ run }) => run.isExtended).map(({ run }) => `'${run.config.name}'`);
  if (extended.length === 0) return start;
  return (
    `${start} The vocabulary was extended between training and this for ${extended.join(', ')}: ` +
    'losses are in bits per byte, and what the extension itself changed is in no change here.'
  );
}

/** Returns the evaluations of a run that a table shows: about `rows`, with the first and the last among them. */
export function milestones(run: RunRecord, rows: number): RunRecord['evaluations'] {
  const { evaluations } = run;
  if (evaluations.length <= rows) return evaluations;
  const chosen = Array.from({ length: rows }, (_, i) => Math.round((i * (evaluations.length - 1)) / (rows - 1)));
  return chosen.map(i => evaluations[i]!);
}
