/**
 * Contours of equal loss of a language's two laws, with their efficient frontiers, after figure 4 of Zheng et al.
 * (2024).
 */
import * as Plot from '@observablehq/plot';
import { allocate, hasOptimum } from '../scaling/allocation.js';
import { type LawParameters, lossAt, tokensForLoss } from '../scaling/law.js';
import { type Figure, fileName } from './figure.js';
import { short } from './numbers.js';
import { curvesPlot, type Dot, evenTicks, type LegendEntry, STRATEGY_LOOKS } from './study-plots.js';
import type { LanguageFits, StudyCurve, StudyView } from './study-view.js';

/** Those that have laws. */
const STRATEGIES = ['scratch', 'cpt'] as const;
const isFitted = (strategy: string): boolean => STRATEGIES.some(each => each === strategy);
/** How far the frame reaches beyond what was trained, as factors: the optimum often lies there. */
const BEYOND = { compute: 4, parameters: 8 };
/** The number of places on a curve. */
const STEPS = 150;

/** A place that a contour or a frontier passes: FLOPs and parameters. */
interface Place {
  readonly C: number;
  readonly N: number;
}

export function contourFigures(view: StudyView): Figure[] {
  return view.fits.flatMap(languageFits => {
    const laws = STRATEGIES.flatMap(strategy => {
      const fitting = languageFits[strategy];
      if (!('fit' in fitting)) return [];
      const { parameters, diagnosis } = fitting.fit;
      return [{ strategy, law: parameters, determined: diagnosis.determined }];
    });
    return laws.length === 0 ? [] : [contourFigure(view, languageFits, laws)];
  });
}

interface StrategyLaw {
  readonly strategy: (typeof STRATEGIES)[number];
  readonly law: LawParameters;
  readonly determined: boolean;
}

function contourFigure({ curves }: StudyView, fits: LanguageFits, laws: readonly StrategyLaw[]): Figure {
  const { language } = fits;
  const trained = curves.filter(
    ({ strategy, points, ...curve }) =>
      curve.language === language && curve.replay === 0 && isFitted(strategy) && points.length > 0,
  );
  const frame = frameOf(fits);
  const isInside = ({ C, N }: Place) => C >= frame.C[0] && C <= frame.C[1] && N >= frame.N[0] && N <= frame.N[1];
  // a line breaks where it leaves the frame
  const inFrame = (places: readonly Place[]) =>
    places.map(place => (isInside(place) ? place : { ...place, C: Number.NaN }));
  const contours = laws.flatMap(({ strategy, law }) =>
    levelsOf(laws[0]!.law, frame, trained).map(loss => ({
      strategy,
      loss,
      places: inFrame(contour(law, loss, frame)),
    })),
  );
  const frontiers = laws.map(({ strategy, law }) => ({ strategy, places: inFrame(frontier(law, frame)) }));
  const svg = curvesPlot({
    x: { label: 'compute C = 6·N·D (FLOPs)', scale: 'log', domain: frame.C },
    y: { label: 'parameters N', scale: 'log', domain: frame.N },
    groups: endsOf(trained).map(dot => ({ look: { color: 'currentColor' }, curves: [[dot]] })),
    legend: [
      ...laws.flatMap(({ strategy }): LegendEntry[] => {
        const { color } = STRATEGY_LOOKS[strategy];
        const name = strategy === 'cpt' ? 'CPT' : 'scratch';
        return [
          { label: `${name}, equal loss`, look: { color }, as: 'line' },
          { label: 'frontier', look: { color, dash: FRONTIER_DASH }, as: 'line' },
        ];
      }),
      { label: 'ends of runs', look: { color: 'currentColor' }, as: 'dots' },
    ],
    more: [...contours.flatMap(contourMarks), ...frontiers.map(frontierMark)],
  });
  const unseen = frontiers.filter(({ places }) => places.filter(isInside).length < 2).map(({ strategy }) => strategy);
  const outside = unseen.length > 0 ? ` The frontier of ${unseen.join(' and ')} is outside, or its law has none.` : '';
  const open = laws.filter(({ determined }) => !determined).map(({ strategy }) => strategy);
  const doubt =
    open.length > 0 ? ` The points do not determine the law of ${open.join(' and ')}: other contours fit as well.` : '';
  return {
    name: fileName('equal-loss', language),
    svg,
    caption:
      `${language}: contours of equal loss (nats per token) of the fitted laws. ` +
      `On the frontier a compute is spent best.${outside}${doubt} Away from the dots it is extrapolation.`,
  };
}

const FRONTIER_DASH = '7 4';

function contourMarks({
  strategy,
  loss,
  places,
}: {
  strategy: StrategyLaw['strategy'];
  loss: number;
  places: Place[];
}) {
  const { color } = STRATEGY_LOOKS[strategy];
  const inside = places.filter(({ C }) => !Number.isNaN(C));
  // scratch is labelled at its small end, CPT at its large one, so that the labels stay apart
  const [labelled, dy] = strategy === 'scratch' ? [inside.slice(0, 1), -5] : [inside.slice(-1), 7];
  return [
    Plot.line(places, { x: 'C', y: 'N', stroke: color, strokeWidth: 1, title: () => `${strategy}: loss ${loss}` }),
    Plot.text(labelled, { x: 'C', y: 'N', text: () => String(loss), fill: color, fontSize: 10, dy, dx: 10 }),
  ];
}

const frontierMark = ({ strategy, places }: { strategy: StrategyLaw['strategy']; places: Place[] }) =>
  Plot.line(places, {
    x: 'C',
    y: 'N',
    stroke: STRATEGY_LOOKS[strategy].color,
    strokeWidth: 3,
    strokeDasharray: FRONTIER_DASH,
    title: () => `${strategy}: efficient frontier`,
  });

/** Returns where runs ended; runs that ended at one place are one dot. */
function endsOf(trained: readonly StudyCurve[]): Dot[] {
  const ends = new Map<string, Dot>();
  for (const { run, parameters, points } of trained) {
    const { tokens, loss } = points.at(-1)!;
    const place = { x: 6 * parameters * tokens, y: parameters };
    const key = JSON.stringify(place);
    const before = ends.get(key)?.title ?? `${short(parameters)} parameters, ${short(tokens)} tokens`;
    ends.set(key, { ...place, title: `${before}\n${run}: loss ${loss.toFixed(4)}` });
  }
  return [...ends.values()];
}

interface Frame {
  readonly C: readonly [number, number];
  readonly N: readonly [number, number];
}

/** Returns the frame: the points that the laws were fitted to, and some room around them. */
function frameOf({ scratch, cpt }: LanguageFits): Frame {
  const ranges = [scratch, cpt].flatMap(fitting => ('fit' in fitting ? [fitting.fit.range] : []));
  const span = (of: 'compute' | 'parameters'): [number, number] => [
    Math.min(...ranges.map(range => range[of][0])) / BEYOND[of],
    Math.max(...ranges.map(range => range[of][1])) * BEYOND[of],
  ];
  return { C: span('compute'), N: span('parameters') };
}

const between = ([low, high]: readonly [number, number]): number[] =>
  Array.from({ length: STEPS + 1 }, (_, i) => low * (high / low) ** (i / STEPS));

/** Returns some round losses, from the best that the frame's compute buys to the highest that was measured. */
function levelsOf(law: LawParameters, { C, N }: Frame, trained: readonly StudyCurve[]): number[] {
  const best = hasOptimum(law) ? allocate(law, C[1]).loss : lossAt(law, N[1], C[1] / (6 * N[1]));
  const highest = Math.max(...trained.flatMap(({ points }) => points.map(({ loss }) => loss)));
  return evenTicks(best, Math.max(highest, 1.1 * best), 8).map(level => Number(level.toPrecision(6)));
}

function contour(law: LawParameters, loss: number, { N }: Frame): Place[] {
  return between(N).flatMap(size => {
    const tokens = tokensForLoss(law, size, loss);
    return tokens === undefined ? [] : [{ N: size, C: 6 * size * tokens }];
  });
}

function frontier(law: LawParameters, { C }: Frame): Place[] {
  if (!hasOptimum(law)) return [];
  return between(C).map(compute => ({ C: compute, N: allocate(law, compute).N_opt }));
}
