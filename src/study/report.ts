/** The report of a study: its page, its figures, and the files that they come from. */
import { type Figure, fileName } from '../report/figure.js';
import { pngOf, standaloneSvg } from '../report/picture.js';
import { pageOfStudy, partsOf, type StudyParts } from '../report/study-page.js';
import type { LanguageFits, StudyCurve, StudyView } from '../report/study-view.js';
import { isContinued } from './file.js';
import { lineOf } from './planned-run.js';
import { haveEnds, pointsCsv, type StudyPoint, studyPoints } from './points.js';
import { stagesInName } from './replay.js';
import { replaceReport } from './report-files.js';
import type { Study, StudyRun } from './state.js';

/** Returns the whole page of a study, however much of it is there. */
export function studyPage(study: Study, fits: readonly LanguageFits[]): string {
  return pageOfStudy(viewOfStudy(study, fits));
}

/** Draws as SVG every figure that there are points for. */
export function studyFigures(study: Study, fits: readonly LanguageFits[]): Figure[] {
  return figuresOf(partsOf(viewOfStudy(study, fits)));
}

const figuresOf = ({ figures }: StudyParts): Figure[] => Object.values(figures).flat();

export function viewOfStudy(study: Study, fits: readonly LanguageFits[], points = studyPoints(study)): StudyView {
  const curves = curvesOf(points).map(curve => {
    const before = sourceLossBefore(study, curve.run);
    const isDone = study.runs.every(run => lineOf(run) !== curve.run || run.state === 'done');
    return { ...curve, isDone, ...(before !== undefined && { sourceLossBefore: before }) };
  });
  const { name, source, targets } = study;
  return {
    name,
    ...(source !== undefined && { source }),
    targets,
    ...bySource(curves),
    fits,
    areEnds: haveEnds(points),
    rows: study.runs.map(rowOf),
  };
}

/** Returns what can be shown from points alone: their runs are taken to be done. */
export function viewOfPoints(name: string, points: readonly StudyPoint[], fits: readonly LanguageFits[]): StudyView {
  const source = sourceOf(points);
  return {
    name,
    ...(source !== undefined && { source }),
    targets: targetsOfPoints(points),
    ...bySource(curvesOf(points)),
    fits,
    areEnds: haveEnds(points),
    rows: [],
  };
}

const sourceOf = (points: readonly StudyPoint[]): string | undefined =>
  points.find(({ strategy }) => strategy === 'source')?.language;

export const targetsOfPoints = (points: readonly StudyPoint[]): string[] => [
  ...new Set(points.filter(({ strategy }) => strategy !== 'source').map(({ language }) => language)),
];

/** Sets CPT from earlier ends of its source apart: all figures and laws are of CPT from the last. */
const bySource = (curves: readonly StudyCurve[]): Pick<StudyView, 'curves' | 'fromEarlier'> => ({
  curves: curves.filter(({ sourceEnd }) => sourceEnd === undefined),
  fromEarlier: curves.filter(({ sourceEnd }) => sourceEnd !== undefined),
});

/**
 * Returns a curve for each run; of one with several annealed ends, these are the curve. CPT and LoRA start with the
 * source-language loss at the end of the source run of their size and seed.
 */
function curvesOf(points: readonly StudyPoint[]): StudyCurve[] {
  const runs = new Map<string, StudyPoint[]>();
  for (const point of points) runs.set(point.run, [...(runs.get(point.run) ?? []), point]);
  const sources = points.filter(({ strategy }) => strategy === 'source');
  return [...runs].map(([run, rows]) => {
    const first = rows[0]!;
    const { strategy, language, size, parameters, seed, replay, account, rank, sourceEnd } = first;
    const stages = stagesInName(run);
    const before = isContinued(strategy) ? endOfSource(sources, first)?.loss : undefined;
    return {
      run,
      strategy,
      language,
      size,
      parameters,
      seed,
      replay,
      isDone: true,
      ...(account !== undefined && { account }),
      ...(rank !== undefined && { rank }),
      ...(stages !== undefined && { stages }),
      ...(sourceEnd !== undefined && { sourceEnd }),
      ...(before !== undefined && { sourceLossBefore: before }),
      points: (haveEnds(rows) ? rows.filter(({ annealed }) => annealed) : rows)
        .map(({ tokens, flops, loss, sourceLoss, copy, induction, sourceCopy, sourceInduction }) => ({
          tokens,
          flops,
          loss,
          ...(sourceLoss !== undefined && { sourceLoss }),
          ...(copy !== undefined && induction !== undefined && { copy, induction }),
          ...(sourceCopy !== undefined && sourceInduction !== undefined && { sourceCopy, sourceInduction }),
        }))
        .sort((a, b) => a.tokens - b.tokens),
    };
  });
}

/** Returns the last point of the source's training that a run starts from; of several ends that which it names. */
function endOfSource(sources: readonly StudyPoint[], { size, seed, sourceEnd }: StudyPoint): StudyPoint | undefined {
  const own = sources.filter(point => point.size === size && point.seed === seed);
  const off = ({ tokens, parameters }: StudyPoint) => Math.abs(tokens / parameters - sourceEnd!);
  return sourceEnd === undefined
    ? own.sort((a, b) => b.tokens - a.tokens)[0]
    : own.filter(({ annealed }) => annealed).sort((a, b) => off(a) - off(b))[0];
}

/** Returns the source loss that a CPT or LoRA run itself measured before its first step. */
function sourceLossBefore({ runs, source }: Study, name: string): number | undefined {
  const run = runs.find(run => lineOf(run) === name);
  if (!run || !isContinued(run.strategy) || source === undefined) return undefined;
  return run.record?.evaluations.find(({ tokens }) => tokens === 0)?.heldOut[source]?.loss;
}

function rowOf({ name, state, progress, error, size, strategy, language, replay, account, seed }: StudyRun) {
  return {
    run: name,
    state,
    progress,
    size,
    strategy,
    language,
    replay,
    seed,
    ...(error !== undefined && { error }),
    ...(account !== undefined && { account }),
  };
}

/**
 * Writes report.html, points.csv, fits/*.json and figures/*.svg and *.png into `folder`, in place of the files of an
 * earlier report. `made` says when and by what.
 * @returns the paths of what was written, the page first.
 */
export function writeStudyReport(
  folder: string,
  view: StudyView,
  points: readonly StudyPoint[],
  made?: string,
  parts = partsOf(view),
): string[] {
  const figures = figuresOf(parts).flatMap(({ name, svg }): [string, string | Uint8Array][] => [
    [`figures/${name}.svg`, standaloneSvg(svg)],
    [`figures/${name}.png`, pngOf(svg)],
  ]);
  return replaceReport(folder, {
    'report.html': pageOfStudy(view, made, parts),
    'points.csv': pointsCsv(points),
    ...Object.fromEntries([...view.fits.flatMap(fitFiles), ...figures]),
  });
}

/** Returns each fit as `fit --out` writes it. */
function fitFiles({ language, scratch, cpt, scratchCompute, cptCompute }: LanguageFits): [string, string][] {
  const fittings = { scratch, cpt, 'scratch-compute': scratchCompute, 'cpt-compute': cptCompute };
  return Object.entries(fittings).flatMap(([name, fitting]): [string, string][] => {
    if ('missing' in fitting) return [];
    const path = `fits/${fileName(language, name)}.json`;
    return [[path, `${JSON.stringify({ ...fitting.fit, used: fitting.used })}\n`]];
  });
}
