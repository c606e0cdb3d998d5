/** A study's figures of loss against compute and of transfer, after figures 1 and 2 of Zheng et al. (2024). */
import * as Plot from '@observablehq/plot';
import { lossOfCompute } from '../scaling/compute-line.js';
import { type Figure, fileName } from './figure.js';
import { percent, short, signed } from './numbers.js';
import {
  type CurvesPlot,
  curvesPlot,
  type Group,
  type LegendEntry,
  lookOf,
  rankLook,
  STRATEGY_LOOKS,
} from './study-plots.js';
import {
  bySeed,
  finalPairsOf,
  gainOf,
  type Pair,
  pairsOf,
  rankOf,
  ranksOf,
  type StudyCurve,
  type StudyView,
  savingsOf,
  sizesOf,
  transferAlong,
} from './study-view.js';

export const LOSS = 'held-out loss (nats per token)';
const FLOPS = 'training FLOPs (6·N·tokens)';

/** Returns a run and its numbers, for the tooltip. */
export const titleOf = ({ run }: StudyCurve, ...lines: string[]): string => [run, ...lines].join('\n');

/** Draws loss against compute, log-log, with the fitted lines on the lower envelopes. */
export function lossComputeFigures({ curves, fits, targets }: StudyView): Figure[] {
  const ranks = ranksOf(curves);
  return targets.flatMap(language => {
    const shown = curves.filter(curve => curve.language === language && curve.replay === 0 && curve.points.length > 0);
    if (shown.length === 0) return [];
    const found = fits.find(fit => fit.language === language);
    const lines = (['scratch', 'cpt'] as const).flatMap(strategy => {
      const fitting = found?.[`${strategy}Compute`];
      return fitting && 'fit' in fitting ? [{ strategy, fit: fitting.fit }] : [];
    });
    const legend: LegendEntry[] = [
      { label: 'from scratch', look: STRATEGY_LOOKS.scratch, as: 'both' },
      { label: 'CPT', look: STRATEGY_LOOKS.cpt, as: 'both' },
      ...ranksOf(shown).map((rank): LegendEntry => ({ label: rankOf(rank), look: rankLook(ranks, rank), as: 'both' })),
    ];
    const more = lines.map(({ strategy, fit }) => {
      const { color } = STRATEGY_LOOKS[strategy];
      const ends = fit.range.compute.map(C => ({ C, loss: lossOfCompute(fit.parameters, C) }));
      return Plot.line(ends, { x: 'C', y: 'loss', stroke: color, strokeWidth: 2, strokeDasharray: '7 4' });
    });
    for (const { strategy, fit } of lines) {
      const { k, c } = fit.parameters;
      const label = `${Number(k.toPrecision(3))}·C^−${Number(c.toPrecision(3))}`;
      legend.push({ label, look: { color: STRATEGY_LOOKS[strategy].color, dash: '7 4' }, as: 'line' });
    }
    const groups = bySeed(shown).map((seeds): Group => {
      const [{ strategy, size, rank }] = seeds as [StudyCurve];
      const whole = strategy === 'cpt' ? STRATEGY_LOOKS.cpt : STRATEGY_LOOKS.scratch;
      return {
        look: rank === undefined ? whole : rankLook(ranks, rank),
        curves: seeds.map(curve =>
          curve.points.map(({ flops, tokens, loss }) => ({
            x: flops,
            y: loss,
            title: titleOf(
              curve,
              `${short(flops)} FLOPs, ${short(tokens)} tokens`,
              `${language} loss ${loss.toFixed(4)}`,
            ),
          })),
        ),
        ...(strategy === 'scratch' && { label: size }),
      };
    });
    return [
      {
        name: fileName('loss-compute', language),
        svg: curvesPlot({
          x: { label: FLOPS, scale: 'log' },
          y: { label: `${language} ${LOSS}`, scale: 'log' },
          groups,
          legend,
          more,
        }),
        caption:
          `${language}: loss against compute, both axes ` +
          `logarithmic.${lines.length > 0 ? ' Dashed: the fitted line of the lower envelope.' : ''}`,
      },
    ];
  });
}

/** Groups the curves of pairs by size, with the looks that each size has in all figures. */
function bySize(pairs: readonly Pair[], sizes: readonly string[], curveOf: (pair: Pair) => Group['curves'][number]) {
  const present = sizes.filter(size => pairs.some(({ cpt }) => cpt.size === size));
  return {
    groups: present.map(
      (size): Group => ({
        look: lookOf(sizes.indexOf(size)),
        curves: pairs.filter(({ cpt }) => cpt.size === size).map(curveOf),
      }),
    ),
    legend: present.map((size): LegendEntry => ({ label: size, look: lookOf(sizes.indexOf(size)), as: 'both' })),
  };
}

/** Draws the FLOPs saved and the data effectively transferred along CPT. */
export function transferFigures({ curves, targets }: StudyView): Figure[] {
  const sizes = sizesOf(curves);
  return targets.flatMap(language => {
    const pairs = pairsOf(curves, language).filter(pair => transferAlong(pair).length > 0);
    if (pairs.length === 0) return [];
    const plot = (y: CurvesPlot['y'], of: (tokens: number, scratchTokens: number) => number, words: string) =>
      curvesPlot({
        x: { label: 'CPT tokens', scale: 'log' },
        y,
        ...bySize(pairs, sizes, pair =>
          transferAlong(pair).map(({ tokens, scratchTokens, loss }) => {
            const value = of(tokens, scratchTokens);
            const equal = `loss ${loss.toFixed(4)}: ${short(tokens)} tokens, ${short(scratchTokens)} from scratch`;
            const shown = y.percent ? percent(value) : `${short(value)} tokens`;
            return { x: tokens, y: value, title: titleOf(pair.cpt, equal, `${words} ${shown}`) };
          }),
        ),
      });
    return [
      {
        name: fileName('flops-saved', language),
        svg: plot(
          { label: `${language}: FLOPs saved`, scale: 'linear', percent: true, zero: true },
          (tokens, scratch) => 1 - tokens / scratch,
          'saved',
        ),
        caption: `${language}: share of the FLOPs that CPT saves at equal loss, along the run. Below 0 it needs more.`,
      },
      {
        name: fileName('transferred', language),
        svg: plot(
          { label: `${language}: D scratch − D CPT (tokens)`, scale: 'linear', zero: true },
          (tokens, scratch) => scratch - tokens,
          'transferred',
        ),
        caption: `${language}: tokens effectively transferred, what scratch needs beyond CPT for the same loss.`,
      },
    ];
  });
}

/** Draws the savings at the end of scratch, and what CPT gains after the same tokens, by size for all languages. */
export function languageFigures({ curves, targets }: StudyView): Figure[] {
  const linesOf = (of: (pair: Pair) => Omit<SizeDot, 'curve'> | undefined) =>
    targets.map((language, index) => ({
      label: language,
      look: lookOf(index),
      dots: finalPairsOf(curves, language).flatMap(pair => {
        const found = of(pair);
        return found ? [{ curve: pair.cpt, ...found }] : [];
      }),
    }));
  const saved = linesOf(pair => {
    const { loss, savedFlops } = savingsOf(pair);
    if (savedFlops === undefined) return undefined;
    return { value: savedFlops, says: `at loss ${loss.toFixed(4)}: ${percent(savedFlops)} of the FLOPs saved` };
  });
  const gained = linesOf(pair => {
    const gain = pair.cpt.isDone ? gainOf(pair) : undefined;
    return gain === undefined ? undefined : { value: gain, says: `CPT ends ${signed(-gain)} nats from scratch` };
  });
  return [
    ...figureBySize(saved, {
      name: 'transfer-by-language',
      y: { label: 'FLOPs saved at the end of scratch', scale: 'linear', percent: true, zero: true },
      caption: 'FLOPs saved at the lowest loss of runs from scratch that are done, by language.',
    }),
    ...figureBySize(gained, {
      name: 'gain-by-language',
      y: { label: 'scratch − CPT after the same tokens (nats per token)', scale: 'linear', zero: true },
      caption: 'How much lower CPT ends than scratch after the same tokens, by language. Below 0 it ends higher.',
    }),
  ];
}

/** A number of a run, and its words for the tooltip. */
export interface SizeDot {
  readonly curve: StudyCurve;
  readonly value: number;
  readonly says: string;
}

interface SizeLine {
  readonly label: string;
  readonly look: Group['look'];
  readonly dots: readonly SizeDot[];
}

/** Draws numbers of runs against their sizes. A line is a curve for each seed; one without dots is left out. */
export function figureBySize(
  lines: readonly SizeLine[],
  { name, y, caption }: { readonly name: string; readonly y: CurvesPlot['y']; readonly caption: string },
): Figure[] {
  const shown = lines.filter(({ dots }) => dots.length > 0);
  if (shown.length === 0) return [];
  const dotOf = ({ curve, value, says }: SizeDot) => ({ x: curve.parameters, y: value, title: titleOf(curve, says) });
  const svg = curvesPlot({
    x: { label: 'parameters', scale: 'log' },
    y,
    groups: shown.map(({ look, dots }) => {
      const sorted = [...dots].sort((a, b) => a.curve.parameters - b.curve.parameters);
      const seeds = [...new Set(sorted.map(({ curve }) => curve.seed))];
      return { look, curves: seeds.map(seed => sorted.filter(({ curve }) => curve.seed === seed).map(dotOf)) };
    }),
    legend: shown.map(({ label, look }) => ({ label, look, as: 'both' })),
  });
  return [{ name, svg, caption }];
}
