/** The laws of a study: for each target language those of scratch and of CPT, and of both the loss against compute. */
import { UserError } from '../errors.js';
import type { Fitting, LanguageFits } from '../report/study-view.js';
import type { BootstrapOptions } from '../scaling/bootstrap.js';
import { fitCompute } from '../scaling/compute-line.js';
import { fitChinchilla, fitCpt, type LawFitResult } from '../scaling/fit-result.js';
import { parsePoints } from '../scaling/points.js';
import { haveEnds, pointsCsv, type StudyPoint } from './points.js';

export type { Fitting, LanguageFits };

/**
 * Fits the points after warm-up of runs without replay and from the last end of their source, through the same reader as `fit points.csv --exclude warmup`.
 * Of runs with several annealed ends these alone count. Whole runs are resampled where there are enough of them to
 * draw from.
 */
export function fitStudy(points: readonly StudyPoint[], targets: readonly string[], replicates = 200): LanguageFits[] {
  return targets.map(language => {
    const of = (strategy: string) =>
      points.filter(
        ({ language: own, strategy: how, replay, sourceEnd }) =>
          own === language && how === strategy && replay === 0 && sourceEnd === undefined,
      );
    const scratchPoints = of('scratch');
    const cptPoints = of('cpt');
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
    };
  });
}

type Parsed = ReturnType<typeof parsePoints>;

/** The least number of runs to draw from; if there are fewer, rows are resampled instead. */
const FEWEST_RUNS = 10;

function attempt<Fit>(
  points: readonly StudyPoint[],
  fitTo: (points: Parsed['points'], used: Parsed['used'], options: BootstrapOptions) => Fit,
  replicates: number,
): Fitting<Fit> {
  if (points.length === 0) return { missing: 'no run of this kind has points yet' };
  const parsed = parsePoints(pointsCsv(points), 'points.csv', {
    exclude: haveEnds(points) ? ['warmup', 'unannealed'] : ['warmup'],
  });
  const resample = new Set(points.map(({ run }) => run)).size >= FEWEST_RUNS ? 'runs' : 'rows';
  try {
    return { fit: fitTo(parsed.points, parsed.used, { replicates, seed: 0, resample }), used: parsed.used };
  } catch (error) {
    if (error instanceof UserError) return { missing: error.message };
    throw error;
  }
}
