/** A study's figures of probes: how copying and induction go along runs, beside the loss. */
import { type Figure, fileName } from './figure.js';
import { short } from './numbers.js';
import { NOUNS } from './probes.js';
import { titleOf } from './study-figures.js';
import { curvesPlot, type Group, lookOf, STRATEGY_LOOKS } from './study-plots.js';
import { bySeed, kindOf, type StudyCurve, type StudyCurvePoint, type StudyView } from './study-view.js';

/** The accuracies, and whether they are of tokens of the source language. */
const PROBES = [
  { field: 'copy', task: NOUNS.copy, ofSource: false },
  { field: 'induction', task: NOUNS.induction, ofSource: false },
  { field: 'sourceCopy', task: NOUNS.copy, ofSource: true },
  { field: 'sourceInduction', task: NOUNS.induction, ofSource: true },
] as const;

/** Draws each accuracy of the runs into a language against their tokens per parameter. */
export function probeFigures(view: StudyView): Figure[] {
  return view.targets.flatMap(language => {
    const curves = view.curves.filter(curve => curve.language === language);
    return PROBES.flatMap(({ field, task, ofSource }) => {
      const shown = curves.filter(({ points }) => points.some(point => point[field] !== undefined));
      if (shown.length === 0) return [];
      const tokensOf = ofSource ? (view.source ?? 'source') : language;
      return [
        {
          name: fileName('probe', language, field),
          svg: accuracyPlot(shown, field, `${task} of ${tokensOf} tokens (accuracy)`),
          caption: `Runs into ${language}: ${task} of ${tokensOf} tokens, along training.`,
        },
      ];
    });
  });
}

type Field = (typeof PROBES)[number]['field'];

function accuracyPlot(curves: readonly StudyCurve[], field: Field, label: string): string {
  const sorted = [...curves].sort(
    (a, b) => b.strategy.localeCompare(a.strategy) || (a.rank ?? 0) - (b.rank ?? 0) || a.replay - b.replay,
  );
  const kinds = [...new Set(sorted.map(kindOf))];
  const lookOfKind = (kind: string) => {
    if (kind === 'from scratch') return STRATEGY_LOOKS.scratch;
    return kind === 'CPT' ? STRATEGY_LOOKS.cpt : lookOf(2 + kinds.indexOf(kind));
  };
  const dotsOf = (curve: StudyCurve) =>
    curve.points.flatMap((point: StudyCurvePoint) => {
      const accuracy = point[field];
      if (accuracy === undefined) return [];
      const title = titleOf(curve, `${short(point.tokens)} tokens`, `accuracy ${accuracy.toFixed(4)}`);
      return [{ x: point.tokens / curve.parameters, y: accuracy, title }];
    });
  const groups = bySeed(sorted).map(
    (seeds): Group => ({
      look: lookOfKind(kindOf(seeds[0]!)),
      curves: seeds.map(dotsOf),
      label: seeds[0]!.size,
    }),
  );
  return curvesPlot({
    x: { label: 'tokens per parameter', scale: 'linear', zero: true },
    y: { label, scale: 'linear', domain: [0, 1] },
    groups,
    legend: kinds.map(kind => ({ label: kind, look: lookOfKind(kind), as: 'both' })),
  });
}
