/** A fit with everything there is to say about it: `fit --json` prints it, `plan` and a CPT fit read it back. */
import { UserError } from '../errors.js';
import { rootMeanSquare } from '../mean.js';
import { allocationFactor, exponents, hasOptimum } from './allocation.js';
import {
  type BootstrapOptions,
  bootstrapLaws,
  interval,
  outsideIntervals,
  type RunPoint,
  STARTS,
} from './bootstrap.js';
import { type Diagnosis, diagnose } from './diagnosis.js';
import { figure } from './figure.js';
import { CHINCHILLA, cptProblem, cptWithoutGamma, EXTENDED, fitLaw, gridSize, type LawFit } from './fit.js';
import { type LawParameters, lossAt, type ParameterName } from './law.js';
import { LawObjective, type Problem } from './objective.js';
import type { Used } from './points.js';
import { type Fitted, type FittedRange, type ScratchFit, toLaw } from './saved-fit.js';
import { counting, type OnProgress } from './search.js';

/** How well a law describes the points: the objective, and the root mean square of ln L predicted − observed. */
export interface FitError {
  readonly objective: number;
  readonly rms: number;
  readonly parameters: LawParameters;
}

export interface LawFitResult extends Fitted {
  readonly law: 'chinchilla' | 'cpt';
  /** The 95% intervals of the parameters and exponents; null without a bootstrap. */
  readonly intervals: Readonly<Record<keyof LawParameters | 'a' | 'b', readonly [number, number] | null>>;
  readonly objective: number;
  readonly points: number;
  /** The exponents of N_opt and D_opt, and G; null where the law has no optimum. */
  readonly a: number | null;
  readonly b: number | null;
  readonly G: number | null;
  readonly starts: number;
  readonly agreeing: number;
  readonly converged: boolean;
  /** The errors of the laws without γ and with γ on the same points. In a CPT fit both keep its E, A and α. */
  readonly fitErrors: { readonly chinchilla: FitError; readonly extended: FitError };
  readonly diagnosis: Diagnosis;
  readonly bootstrap: BootstrapOptions;
  readonly warnings: readonly string[];
  readonly scratch?: Fitted;
}

/** Fits the law of training from scratch. @throws UserError when the points are too few, or all of one size. */
export function fitChinchilla(
  points: readonly RunPoint[],
  used: Used,
  options: BootstrapOptions,
  onProgress?: OnProgress,
): LawFitResult {
  checkPoints(points, CHINCHILLA);
  const isWide = points.length > EXTENDED.free.length;
  const grids = gridSize(CHINCHILLA) + (isWide ? gridSize(EXTENDED) + 1 : 0);
  const onDone = counting(grids + STARTS * options.replicates, onProgress);
  const fit = fitLaw(points, CHINCHILLA, [], onDone);
  // the wider law fits anything if there are no more points than it has parameters: the narrower one stands in
  const wider = isWide ? fitLaw(points, EXTENDED, [fit.law], onDone) : fit;
  const laws = bootstrapLaws(points, () => CHINCHILLA, options, onDone);
  return { law: 'chinchilla', ...describe(points, used, options, CHINCHILLA, fit, laws, { plain: fit, wider }) };
}

/**
 * Fits the law of CPT with E, A and α of the scratch fit. Replicate r keeps the values of the scratch fit's replicate
 * r, so that the intervals carry the uncertainty of the scratch fit too.
 * @throws UserError when the points are too few, or all of one size.
 * @example
 * import { readFileSync } from 'node:fs';
 * import { fitChinchilla, fitCpt, parsePoints } from 'babelgrad';
 *
 * const scratch = parsePoints(readFileSync('scratch.csv', 'utf8'), 'scratch.csv');
 * const cpt = parsePoints(readFileSync('cpt.csv', 'utf8'), 'cpt.csv');
 * const fit = fitChinchilla(scratch.points, scratch.used, { replicates: 20, seed: 0, resample: 'runs' });
 * console.log(fit.parameters, fitCpt(cpt.points, cpt.used, fit, fit.bootstrap).parameters);
 */
export function fitCpt(
  points: readonly RunPoint[],
  used: Used,
  scratch: ScratchFit,
  options: BootstrapOptions,
  onProgress?: OnProgress,
): LawFitResult {
  const problem = cptProblem(scratch.parameters);
  const plainProblem = cptWithoutGamma(scratch.parameters);
  checkPoints(points, problem);
  const onDone = counting(gridSize(problem) + gridSize(plainProblem) + STARTS * options.replicates, onProgress);
  const fit = fitLaw(points, problem, [], onDone);
  const plain = fitLaw(points, plainProblem, [], onDone);
  const held = scratch.samples.map(toLaw);
  const problemOf = (r: number) => (held.length > 0 ? cptProblem(held[r % held.length]!) : problem);
  const laws = bootstrapLaws(points, problemOf, options, onDone);
  const described = describe(points, used, options, problem, fit, laws, { plain, wider: fit });
  const { parameters, range, samples, parameterCount } = scratch;
  const keptOpen = scratch.diagnosis.open.filter(name => !problem.free.includes(name));
  const open = [...keptOpen, ...described.diagnosis.open];
  return {
    law: 'cpt',
    ...described,
    diagnosis: { ...described.diagnosis, open, determined: open.length === 0 },
    warnings: [...described.warnings, ...keptWarnings(keptOpen), ...cptWarnings(points, used, scratch)],
    scratch: { parameters, range, samples, parameterCount },
  };
}

function checkPoints(points: readonly RunPoint[], { free }: Problem): void {
  if (points.length < free.length) {
    throw new UserError(
      `${points.length} points cannot fix ${free.length} parameters (${free.join(', ')}); ` +
        `give at least ${free.length}, ` +
        'better several times as many',
    );
  }
  const [first] = points;
  if (points.every(({ parameters }) => parameters === first!.parameters)) {
    const needed = free.includes('E') ? 'three' : 'two';
    throw new UserError(
      `all points have ${first!.parameters} parameters, and the law needs ${needed} sizes to say what size does: ` +
        'add runs of ' +
        'other sizes; the law of compute needs no second size',
    );
  }
}

function describe(
  points: readonly RunPoint[],
  used: Used,
  options: BootstrapOptions,
  problem: Problem,
  fit: LawFit,
  laws: readonly LawParameters[],
  compared: { plain: LawFit; wider: LawFit },
): Omit<LawFitResult, 'law'> {
  const { law } = fit;
  const intervalOf = (of: (sample: LawParameters) => number) => interval(laws.map(of)) ?? null;
  const G = allocationFactor(law);
  const { a, b } = exponents(law);
  const optimal = hasOptimum(law);
  const diagnosis = diagnose(points, problem, law);
  const intervals = {
    E: intervalOf(({ E }) => E),
    A: intervalOf(({ A }) => A),
    B: intervalOf(({ B }) => B),
    alpha: intervalOf(({ alpha }) => alpha),
    beta: intervalOf(({ beta }) => beta),
    gamma: intervalOf(({ gamma }) => gamma),
    a: intervalOf(sample => exponents(sample).a),
    b: intervalOf(sample => exponents(sample).b),
  };
  const estimates = {
    ...Object.fromEntries(problem.free.map(name => [name, law[name]])),
    ...(optimal && { a, b }),
  };
  return {
    parameters: law,
    intervals,
    objective: fit.objective,
    points: points.length,
    a: optimal ? a : null,
    b: optimal ? b : null,
    G: optimal ? G : null,
    starts: fit.starts,
    agreeing: fit.agreeing,
    converged: fit.converged,
    fitErrors: { chinchilla: errorOf(points, compared.plain), extended: errorOf(points, compared.wider) },
    diagnosis,
    range: rangeOf(points),
    parameterCount: used.parameterCount,
    bootstrap: options,
    samples: laws.map(({ E, A, B, alpha, beta, gamma }): Fitted['samples'][number] => [E, A, B, alpha, beta, gamma]),
    warnings: [...warningsOf(fit, optimal, diagnosis, used), ...outsideIntervals(estimates, intervals)],
  };
}

function warningsOf(fit: LawFit, optimal: boolean, diagnosis: Diagnosis, used: Used): string[] {
  const warnings = [...diagnosis.advice];
  if (!fit.converged) warnings.push('the best start did not converge: the points leave the optimum flat');
  if (!optimal) {
    const { A, B, alpha, beta, gamma } = fit.law;
    warnings.push(
      'the law has no best split of compute ' +
        `(A ${figure(A)}, B ${figure(B)}, alpha ${figure(alpha)}, beta ${figure(beta)}, gamma ${figure(gamma)}): ` +
        'a, b and G are not given',
    );
  }
  if (used.unannealed > 0) {
    warnings.push(
      `${used.unannealed} of the points are not annealed: their loss is higher than that of a run that ends there, ` +
        'which biases the fit (--exclude unannealed leaves them out)',
    );
  }
  return warnings;
}

const keptWarnings = (open: readonly ParameterName[]): string[] =>
  open.length === 0
    ? []
    : [`the scratch fit, whose E, A and alpha are kept, leaves ${open.join(', ')} undetermined: see its warnings`];

function cptWarnings(points: readonly RunPoint[], used: Used, scratch: Fitted): string[] {
  const warnings: string[] = [];
  const law = { ...scratch.parameters, B: 0 };
  const below = points.filter(({ parameters, tokens, loss }) => loss <= lossAt(law, parameters, tokens)).length;
  if (below > 0) {
    warnings.push(
      `${below} points are below E + A/N^alpha of the scratch fit, which no B can reach: ` +
        'the scratch fit does not hold for them',
    );
  }
  if (used.parameterCount !== scratch.parameterCount) {
    warnings.push(
      `N is '${used.parameterCount}' here and '${scratch.parameterCount}' in the scratch fit: ` +
        'fit both with one count of parameters',
    );
  }
  return warnings;
}

function errorOf(points: readonly RunPoint[], { law, objective }: LawFit): FitError {
  const residuals = new LawObjective(points, { free: [], held: law }).residuals(new Float64Array(0));
  const rms = rootMeanSquare(residuals);
  return { objective, rms, parameters: law };
}

function rangeOf(points: readonly RunPoint[]): FittedRange {
  const spanOf = (of: (point: RunPoint) => number): [number, number] => {
    const values = points.map(of);
    return [Math.min(...values), Math.max(...values)];
  };
  return {
    parameters: spanOf(({ parameters }) => parameters),
    tokens: spanOf(({ tokens }) => tokens),
    tokensPerParameter: spanOf(({ parameters, tokens }) => tokens / parameters),
    compute: spanOf(({ parameters, tokens }) => 6 * parameters * tokens),
  };
}
