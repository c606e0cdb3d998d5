/** A study's figures of replay and of forgetting, after figure 5 of Zheng et al. (2024). */
import * as Plot from '@observablehq/plot';
import { type Figure, fileName } from './figure.js';
import { short, signed } from './numbers.js';
import { figureBySize, LOSS, titleOf } from './study-figures.js';
import { curvesPlot, type Dot, type Group, type LegendEntry, lookOf } from './study-plots.js';
import { bySeed, type StudyCurve, type StudyView, shareOf, sizesOf, sourceLossRise } from './study-view.js';

const cptCurves = ({ curves }: StudyView, language: string): StudyCurve[] =>
  curves.filter(curve => curve.strategy === 'cpt' && curve.language === language && curve.points.length > 0);

const ACCOUNTS = { extra: 'on top of the budget', budget: 'out of the budget' } as const;
type Account = keyof typeof ACCOUNTS;

/**
 * Draws the loss of the target and of the source language for each share of replay, against the FLOPs spent on that
 * language.
 */
export function replayFigures(view: StudyView): Figure[] {
  return view.targets.flatMap(language => {
    const ofLanguage = cptCurves(view, language);
    return sizesOf(ofLanguage).flatMap(size =>
      (Object.keys(ACCOUNTS) as Account[]).flatMap(account => {
        const shown = ofLanguage
          .filter(curve => curve.size === size && (curve.account === account || curve.replay === 0))
          .sort((a, b) => a.replay - b.replay);
        if (!shown.some(({ replay }) => replay > 0)) return [];
        const name = fileName('replay', language, size, account);
        return [
          targetPanel(name, language, size, account, shown),
          ...(view.source === undefined ? [] : sourcePanel(name, view.source, size, account, shown)),
        ];
      }),
    );
  });
}

const withReplay = (size: string, account: Account): string =>
  `size ${size}, replayed tokens ${ACCOUNTS[account]}, by share of replay`;

/** Groups curves by their share of replay, in order. */
function byShare(curves: readonly StudyCurve[], dotsOf: (curve: StudyCurve) => Dot[]) {
  const present = bySeed(curves).map(seeds => ({ label: shareOf(seeds[0]!), curves: seeds.map(dotsOf) }));
  return {
    groups: present.map(({ curves }, i): Group => ({ look: lookOf(i), curves })),
    legend: present.map(({ label }, i): LegendEntry => ({ label, look: lookOf(i), as: 'both' })),
  };
}

function targetPanel(
  name: string,
  language: string,
  size: string,
  account: Account,
  curves: readonly StudyCurve[],
): Figure {
  return {
    name: `${name}-target`,
    svg: curvesPlot({
      x: { label: `FLOPs spent on ${language}`, scale: 'log' },
      y: { label: `${language} ${LOSS}`, scale: 'linear' },
      ...byShare(curves, curve =>
        curve.points.map(({ flops, loss }) => {
          const x = flops * (1 - curve.replay);
          const spent = `${short(x)} of ${short(flops)} FLOPs spent on ${language}`;
          return { x, y: loss, title: titleOf(curve, spent, `${language} loss ${loss.toFixed(4)}`) };
        }),
      ),
    }),
    caption: `${language} loss: ${withReplay(size, account)}.`,
  };
}

/**
 * Draws the panel of the source language. Runs without replay spend nothing on it: a line shows how they end, as
 * another shows where all start.
 */
function sourcePanel(
  name: string,
  source: string,
  size: string,
  account: Account,
  curves: readonly StudyCurve[],
): Figure[] {
  const replaying = curves.filter(
    ({ replay, points }) => replay > 0 && points.some(({ sourceLoss }) => sourceLoss !== undefined),
  );
  if (replaying.length === 0) return [];
  const before = curves.find(({ sourceLossBefore }) => sourceLossBefore !== undefined)?.sourceLossBefore;
  const { groups, legend } = byShare(replaying, curve =>
    curve.points.flatMap(({ flops, sourceLoss }) => {
      if (sourceLoss === undefined) return [];
      const x = flops * curve.replay;
      const spent = `${short(x)} of ${short(flops)} FLOPs spent on ${source}`;
      return [{ x, y: sourceLoss, title: titleOf(curve, spent, `${source} loss ${sourceLoss.toFixed(4)}`) }];
    }),
  );
  // a share has the same look in both panels; the first look of the other panel may be that of no replay
  const shift = curves.some(({ replay }) => replay === 0) ? 1 : 0;
  const start: LegendEntry = { label: 'before CPT', look: { color: 'currentColor', dash: '2 3' }, as: 'line' };
  return [
    {
      name: `${name}-source`,
      svg: curvesPlot({
        x: { label: `FLOPs spent on ${source}`, scale: 'log' },
        y: { label: `${source} ${LOSS}`, scale: 'linear' },
        groups: groups.map((group, i) => ({ ...group, look: lookOf(i + shift) })),
        legend: [
          ...legend.map((entry, i) => ({ ...entry, look: lookOf(i + shift) })),
          ...(before === undefined ? [] : [start]),
        ],
        ...(before !== undefined && {
          more: [Plot.ruleY([before], { strokeDasharray: '2 3' })],
          reach: [{ y: before }],
        }),
      }),
      caption: `${source} loss: ${withReplay(size, account)}. Without replay nothing is spent on it.`,
    },
  ];
}

/** Draws the source language's loss along CPT without replay, and how much it rose by share of replay. */
export function forgettingFigures(view: StudyView): Figure[] {
  const { source, targets } = view;
  if (source === undefined) return [];
  const sizes = sizesOf(view.curves);
  const look = (size: string) => lookOf(sizes.indexOf(size));
  const figures = targets.flatMap(language => {
    const curves = cptCurves(view, language).filter(({ points }) =>
      points.some(({ sourceLoss }) => sourceLoss !== undefined),
    );
    return [...alongFigure(source, language, curves, look), ...riseFigure(source, language, curves, look)];
  });
  return [...sizeFigure(source, view), ...figures];
}

/** Draws how much the source loss rose over CPT without replay, by size, for all languages. */
function sizeFigure(source: string, view: StudyView): Figure[] {
  const lines = view.targets.map((language, index) => ({
    label: `into ${language}`,
    look: lookOf(index),
    dots: cptCurves(view, language).flatMap(curve => {
      const rise = curve.replay === 0 && curve.isDone ? sourceLossRise(curve) : undefined;
      return rise === undefined ? [] : [{ curve, value: rise, says: `${source} loss ${signed(rise)}` }];
    }),
  }));
  return figureBySize(lines, {
    name: 'forgetting-by-size',
    y: { label: `rise of the ${source} loss (nats per token)`, scale: 'linear', zero: true },
    caption: `CPT without replay: rise of the ${source} loss over runs that are done, by size.`,
  });
}

type LookOfSize = (size: string) => Group['look'];

function alongFigure(source: string, language: string, curves: readonly StudyCurve[], look: LookOfSize): Figure[] {
  const plain = curves.filter(({ replay }) => replay === 0);
  if (plain.length === 0) return [];
  const dotsOf = (curve: StudyCurve): Dot[] => {
    const dot = (tokens: number, loss: number | undefined, when: string) =>
      loss === undefined
        ? []
        : [{ x: tokens / curve.parameters, y: loss, title: titleOf(curve, when, `${source} loss ${loss.toFixed(4)}`) }];
    return [
      ...dot(0, curve.sourceLossBefore, 'before CPT'),
      ...curve.points.flatMap(({ tokens, sourceLoss }) => dot(tokens, sourceLoss, `after ${short(tokens)} tokens`)),
    ];
  };
  return [
    {
      name: fileName('forgetting', language),
      svg: curvesPlot({
        x: { label: 'CPT tokens per parameter', scale: 'linear', zero: true },
        y: { label: `${source} ${LOSS}`, scale: 'linear' },
        groups: bySeed(plain).map(seeds => ({ look: look(seeds[0]!.size), curves: seeds.map(dotsOf) })),
        legend: sizesOf(plain).map(size => ({ label: size, look: look(size), as: 'both' })),
      }),
      caption: `CPT into ${language} without replay: the ${source} loss by size; at 0 that of the source model.`,
    },
  ];
}

function riseFigure(source: string, language: string, curves: readonly StudyCurve[], look: LookOfSize): Figure[] {
  const known = curves.filter(
    curve => curve.isDone && curve.stages === undefined && sourceLossRise(curve) !== undefined,
  );
  const lines = sizesOf(known).flatMap(size =>
    (Object.keys(ACCOUNTS) as Account[]).flatMap(account => {
      const shown = known
        .filter(curve => curve.size === size && (curve.replay === 0 || curve.account === account))
        .sort((a, b) => a.replay - b.replay);
      if (!shown.some(({ replay }) => replay > 0)) return [];
      const seeds = [...new Set(shown.map(({ seed }) => seed))];
      const dotOf = (curve: StudyCurve): Dot => {
        const rise = sourceLossRise(curve)!;
        return { x: curve.replay, y: rise, title: titleOf(curve, `${source} loss ${signed(rise)}`) };
      };
      const curvesOfSeeds = seeds.map(seed => shown.filter(curve => curve.seed === seed).map(dotOf));
      const ownLook = { ...look(size), ...(account === 'budget' && { dash: '5 3' }) };
      return [{ label: `${size}, ${account}`, group: { look: ownLook, curves: curvesOfSeeds } }];
    }),
  );
  if (lines.length === 0) return [];
  const ratios = [...new Set(known.map(({ replay }) => replay))];
  return [
    {
      name: fileName('forgetting-by-share', language),
      svg: curvesPlot({
        x: { label: 'share of replay', scale: 'sqrt', percent: true, zero: true, ticks: ratios },
        y: { label: `rise of the ${source} loss (nats per token)`, scale: 'linear', zero: true },
        groups: lines.map(({ group }) => group),
        legend: lines.map(({ label, group }) => ({ label, look: group.look, as: 'both' })),
      }),
      caption:
        `CPT into ${language}: rise of the ${source} loss over runs that are done, by share of replay; extra: ` +
        'on top of the budget, budget: out of it.',
    },
  ];
}
