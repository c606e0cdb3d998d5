/** The laws of a study: for each target language those of scratch and of CPT, and of both the loss against compute. */
import { UserError } from '../errors.js';
import type { Fitting, LanguageFits, StudyHoldout } from '../report/study-view.js';
import type { BootstrapOptions } from '../scaling/bootstrap.js';
import { fitCompute } from '../scaling/compute-line.js';
import { fitChinchilla, fitCpt, type LawFitResult } from '../scaling/fit-result.js';
import { compareHeldOut, scratchWithout } from '../scaling/holdout.js';
import { parsePoints } from '../scaling/points.js';
import { haveEnds, pointsCsv, type StudyPoint } from './points.js';

export type { Fitting, LanguageFits, StudyHoldout };

/**
 * Fits the points after warm-up of runs without replay and from the last end of their source, through the same reader
 * as `fit points.csv --exclude warmup`. Of runs with several annealed ends these alone count. Whole runs are resampled
 * where there are enough of them to draw from.
 */
export function fitStudy(points: readonly StudyPoint[], targets: readonly string[], replicates = 200): LanguageFits[] {
  return targets.map(language => {
    const of = (strategy: string) =>
      usable(
        points.filter(
          ({ language: own, strategy: how, replay, sourceEnd }) =>
            own === language && how === strategy && replay === 0 && sourceEnd === undefined,
        ),
      );
    const [scratchPoints, cptPoints] = [of('scratch'), of('cpt')];
    const scratch = attempt(scratchPoints, (rows, used, options) => fitChinchilla(rows, used, options), replicates);
    const cpt: Fitting<LawFitResult> =
      'fit' in scratch
        ? attempt(cptPoints, (rows, used, options) => fitCpt(rows, used, scratch.fit, options), replicates)
        : { missing: 'there is no fit of the runs from scratch, whose E, A and alpha it keeps' };
    return {
      language,
      scratch,
      cpt,
      scratchCompute: attempt(scratchPoints, (rows, _, options) => fitCompute(rows, options), replicates),
      cptCompute: attempt(cptPoints, (rows, _, options) => fitCompute(rows, options), replicates),
      heldOut: (['largest', 'last'] as const).flatMap(holdout => [
        { strategy: 'scratch', holdout, result: heldOut(scratch, scratchPoints, holdout) },
        { strategy: 'cpt', holdout, result: heldOut(cpt, cptPoints, holdout, { scratch, points: scratchPoints }) },
      ]),
    };
  });
}

interface Usable extends ReturnType<typeof parsePoints> {
  readonly runs: number;
}

function usable(points: readonly StudyPoint[]): Usable | undefined {
  if (points.length === 0) return undefined;
  const exclude = haveEnds(points) ? (['warmup', 'unannealed'] as const) : (['warmup'] as const);
  const parsed = parsePoints(pointsCsv(points), 'points.csv', { exclude });
  return { ...parsed, runs: new Set(points.map(({ run }) => run)).size };
}

/** The least number of runs to draw from; if there are fewer, rows are resampled instead. */
const FEWEST_RUNS = 10;

function attempt<Fit>(
  found: Usable | undefined,
  fitTo: (points: Usable['points'], used: Usable['used'], options: BootstrapOptions) => Fit,
  replicates: number,
): Fitting<Fit> {
  if (!found) return { missing: 'no run of this kind has points yet' };
  const { points, used, runs } = found;
  const resample = runs >= FEWEST_RUNS ? 'runs' : 'rows';
  return orMissing(() => ({ fit: fitTo(points, used, { replicates, seed: 0, resample }), used }));
}

/** Holds the laws of a strategy against points held out; those of CPT keep a law of scratch without them. */
function heldOut(
  fitting: Fitting<LawFitResult>,
  found: Usable | undefined,
  holdout: StudyHoldout['holdout'],
  kept?: { readonly scratch: Fitting<LawFitResult>; readonly points: Usable | undefined },
): StudyHoldout['result'] {
  if ('missing' in fitting) return fitting;
  const { chinchilla, extended } = fitting.fit.fitErrors;
  const laws = { chinchilla: chinchilla.parameters, extended: extended.parameters };
  const { points } = found!;
  return orMissing(() => {
    if (!kept || 'missing' in kept.scratch) return compareHeldOut(points, holdout, laws);
    const law = scratchWithout(kept.points!.points, points, holdout, kept.scratch.fit.parameters);
    return compareHeldOut(points, holdout, laws, () => law);
  });
}

/** Returns what a fit finds, or why it finds nothing. */
function orMissing<Result>(find: () => Result): Result | { readonly missing: string } {
  try {
    return find();
  } catch (error) {
    if (error instanceof UserError) return { missing: error.message };
    throw error;
  }
}
