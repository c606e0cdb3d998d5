/** What LoRA learns and forgets in a study, beside CPT that trains all of the model: finding, figures and table. */
import * as Plot from '@observablehq/plot';
import { mean } from '../mean.js';
import { type Figure, fileName } from './figure.js';
import { signed } from './numbers.js';
import { type Estimate, estimate } from './study-evidence.js';
import { LOSS, titleOf } from './study-figures.js';
import {
  curvesPlot,
  type Group,
  type LegendEntry,
  type Look,
  lookOf,
  rankLook,
  STRATEGY_LOOKS,
} from './study-plots.js';
import type { TextTable } from './study-tables.js';
import { type Answer, conclude, type Finding, fixed, isAbove, show } from './study-verdicts.js';
import { kindOf, ranksOf, type StudyCurve, type StudyView, sizesOf, sourceLossRise } from './study-view.js';

/** Whether a study asks for LoRA. */
export const hasLora = ({ curves, rows }: StudyView): boolean =>
  ranksOf(curves).length > 0 || rows.some(({ strategy }) => strategy === 'lora');

/** How adapters of a rank end beside CPT without replay, over the sizes and seeds that have both. */
export interface LoraEvidence {
  readonly rank: number;
  /** How much higher the target loss ends, in nats. */
  readonly above: Estimate;
  /** How much less the source loss rises, in nats. */
  readonly kept: Estimate;
}

export function loraEvidence({ curves }: StudyView, language: string): LoraEvidence[] {
  const done = curves.filter(curve => curve.language === language && curve.isDone && curve.replay === 0);
  return ranksOf(done).flatMap(rank => {
    const pairs = done.flatMap(lora => {
      const cpt = done.find(
        ({ strategy, size, seed }) => strategy === 'cpt' && size === lora.size && seed === lora.seed,
      );
      if (lora.rank !== rank || !cpt) return [];
      const [own, whole] = [sourceLossRise(lora), sourceLossRise(cpt)];
      if (own === undefined || whole === undefined) return [];
      return [{ above: lora.points.at(-1)!.loss - cpt.points.at(-1)!.loss, kept: whole - own }];
    });
    const above = estimate(pairs, drawn => mean(drawn.map(pair => pair.above)));
    const kept = estimate(pairs, drawn => mean(drawn.map(pair => pair.kept)));
    return above && kept ? [{ rank, above, kept }] : [];
  });
}

/** Holds the finding of Biderman et al. (2024) against a study; none where that has no LoRA. */
export function loraFinding(view: StudyView): Finding[] {
  if (!hasLora(view)) return [];
  const answers = view.targets.flatMap(language =>
    loraEvidence(view, language).map(
      ({ rank, above, kept }): Answer => ({
        says:
          `Rank ${rank} into ${language}: the ${language} loss ends ${show(above, fixed(3))} nats above that of CPT, ` +
          `the ${view.source ?? 'source'} loss ${show(kept, fixed(2))} below.`,
        holds: [isAbove(above), isAbove(kept)],
      }),
    ),
  );
  const claim = 'LoRA learns less than training all of the model, and forgets less';
  const missing = 'Waits for a LoRA run and a CPT run of one size and seed, both without replay, that are done.';
  return [conclude({ section: 'lora', figure: 'lora', claim }, answers, missing)];
}

/** Returns the runs that a language's adapters are seen beside, of one size: those that are done, by kind. */
function shownOf({ curves }: StudyView, language: string, size: string): StudyCurve[] {
  const place = ({ strategy, rank = 0 }: StudyCurve) => (strategy === 'scratch' ? -1 : rank);
  return curves
    .filter(curve => curve.language === language && curve.size === size && curve.isDone && curve.points.length > 0)
    .sort((a, b) => place(a) - place(b) || a.replay - b.replay || a.seed - b.seed);
}

const sizesWithLora = ({ curves }: StudyView, language: string): string[] =>
  sizesOf(curves.filter(curve => curve.language === language && curve.rank !== undefined && curve.isDone));

const labelOf = (curve: StudyCurve): string => `${kindOf(curve)}${curve.account === 'budget' ? ' of the budget' : ''}`;

/** Draws where runs end: the loss of the target language against the rise of the source's. */
export function loraFigures(view: StudyView): Figure[] {
  const { source, targets } = view;
  if (source === undefined) return [];
  return targets.flatMap(language =>
    sizesWithLora(view, language).flatMap(size => {
      const shown = shownOf(view, language, size);
      const continued = shown.filter(curve => sourceLossRise(curve) !== undefined);
      if (continued.length === 0) return [];
      return [
        {
          name: fileName('lora', language, size),
          svg: endsPlot(view, continued, scratchLoss(shown), [language, source]),
          caption:
            `Size ${size}: the ${language} loss that runs end at, against what they forgot of ${source}. ` +
            'The lower the more is learnt, the further left the less is forgotten.',
        },
      ];
    }),
  );
}

/** Returns the mean loss at the end of the runs from scratch; undefined where there are none. */
function scratchLoss(curves: readonly StudyCurve[]): number | undefined {
  const ends = curves.filter(({ strategy }) => strategy === 'scratch').map(({ points }) => points.at(-1)!.loss);
  return ends.length > 0 ? mean(ends) : undefined;
}

function endsPlot(
  view: StudyView,
  curves: readonly StudyCurve[],
  scratch: number | undefined,
  [language, source]: readonly [string, string],
): string {
  const ranks = ranksOf(view.curves);
  const labels = [...new Set(curves.map(labelOf))];
  const plain = new Map(curves.filter(({ replay }) => replay === 0).map(curve => [labelOf(curve), curve]));
  const replayed = labels.filter(label => !plain.has(label));
  const lookOfLabel = (label: string): Look => {
    const curve = plain.get(label);
    if (!curve) return lookOf(2 + ranks.length + replayed.indexOf(label));
    return curve.rank === undefined ? STRATEGY_LOOKS.cpt : rankLook(ranks, curve.rank);
  };
  const dotOf = (curve: StudyCurve): Group => {
    const [rise, { loss }] = [sourceLossRise(curve)!, curve.points.at(-1)!];
    const title = titleOf(curve, `${language} loss ${loss.toFixed(4)}`, `${source} loss ${signed(rise)}`);
    return { look: lookOfLabel(labelOf(curve)), curves: [[{ x: rise, y: loss, title }]] };
  };
  const line = { color: STRATEGY_LOOKS.scratch.color, dash: '2 3' };
  return curvesPlot({
    x: { label: `rise of the ${source} loss (nats per token)`, scale: 'linear', zero: true },
    y: { label: `${language} ${LOSS}`, scale: 'linear' },
    groups: curves.map(dotOf),
    legend: [
      ...labels.map((label): LegendEntry => ({ label, look: lookOfLabel(label), as: 'dots' })),
      ...(scratch === undefined ? [] : [{ label: 'from scratch', look: line, as: 'line' } as const]),
    ],
    ...(scratch !== undefined && {
      more: [Plot.ruleY([scratch], { stroke: line.color, strokeDasharray: line.dash })],
      reach: [{ y: scratch }],
    }),
  });
}

/** Returns where each run ends, in both languages. */
export function loraTable(view: StudyView): TextTable {
  const rows = view.targets.flatMap(language =>
    sizesWithLora(view, language).flatMap(size => {
      const shown = shownOf(view, language, size);
      return shown.map(curve => {
        const { loss } = curve.points.at(-1)!;
        const cpt = shown.find(
          ({ strategy, replay, seed }) => strategy === 'cpt' && replay === 0 && seed === curve.seed,
        );
        const rise = sourceLossRise(curve);
        return [
          language,
          size,
          labelOf(curve),
          String(curve.seed),
          loss.toFixed(4),
          cpt && cpt !== curve ? signed(loss - cpt.points.at(-1)!.loss) : '',
          rise === undefined ? '' : signed(rise),
        ];
      });
    }),
  );
  const rise = `rise of ${view.source ?? 'source'}`;
  return { head: ['into', 'size', 'run', 'seed', 'last (nats/token)', 'against CPT', rise], rows };
}
