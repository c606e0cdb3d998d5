/**
 * Laws judged by what they predict and were not shown: each is fitted to some of the points and held against the rest.
 */
import { UserError } from '../errors.js';
import { rootMeanSquare } from '../mean.js';
import { Random } from '../random.js';
import type { RunPoint } from './bootstrap.js';
import { CHINCHILLA, cptProblem, cptWithoutGamma, EXTENDED, fitFrom, randomStarts } from './fit.js';
import { type LawParameters, lossAt } from './law.js';
import type { Problem } from './objective.js';

/** What is held out: the largest size, the last third of every run's tokens, or each of K folds in turn. */
export type Holdout = 'largest' | 'last' | number;

/** The laws that are compared: with γ = 0, and with γ. */
export type ComparedLaw = 'chinchilla' | 'extended';

export interface HeldOutError {
  readonly law: ComparedLaw;
  /** The root mean square of ln L predicted − observed, at points that the law was fitted to, and at those held out. */
  readonly fitted: number;
  readonly heldOut: number;
  /** The largest |ln L predicted − observed| of a point held out. */
  readonly worst: number;
  /** The law fitted to all points. */
  readonly parameters: LawParameters;
}

export interface HoldoutResult {
  readonly holdout: Holdout;
  /** The number of points that were held out, over all folds. */
  readonly points: number;
  readonly laws: readonly HeldOutError[];
  /** The law with the least error at points held out. */
  readonly best: ComparedLaw;
}

interface Split {
  readonly fitted: readonly RunPoint[];
  readonly heldOut: readonly RunPoint[];
}

const STARTS = 40;
/** The share of a run's tokens after which its points are held out. */
const LAST_FROM = 2 / 3;

/** The law of scratch whose E, A and α the laws of CPT keep, in each split of the points. */
export type ScratchOfSplit = (split: number) => LawParameters;

/**
 * Compares the laws of scratch, or of CPT with what they keep of a scratch fit, by their errors at points held out.
 * @throws UserError when too few points are left to fit a law to, or none is held out
 */
export function compareHeldOut(
  points: readonly RunPoint[],
  holdout: Holdout,
  fits: Readonly<Record<ComparedLaw, LawParameters>>,
  scratch?: ScratchOfSplit,
): HoldoutResult {
  const splits = splitsOf(points, holdout);
  const problems = splits.map((_, s): Readonly<Record<ComparedLaw, Problem>> => {
    const kept = scratch?.(s);
    return kept
      ? { chinchilla: cptWithoutGamma(kept), extended: cptProblem(kept) }
      : { chinchilla: CHINCHILLA, extended: EXTENDED };
  });
  splits.forEach((split, s) => {
    checkSplit(split, problems[s]!.extended, holdout);
  });
  const laws = (['chinchilla', 'extended'] as const).map((law): HeldOutError => {
    const errors = splits.map((split, s) => {
      const random = new Random(0, 'holdout', law, s);
      const problem = problems[s]![law];
      const starts = [fits[law], ...randomStarts(split.fitted, problem, STARTS, random)];
      const found = fitFrom(split.fitted, problem, starts).law;
      return { fitted: errorsOf(found, split.fitted), heldOut: errorsOf(found, split.heldOut) };
    });
    const heldOut = errors.flatMap(each => each.heldOut);
    return {
      law,
      fitted: rootMeanSquare(errors.flatMap(each => each.fitted)),
      heldOut: rootMeanSquare(heldOut),
      worst: heldOut.reduce((most, error) => Math.max(most, Math.abs(error)), 0),
      parameters: fits[law],
    };
  });
  const best = laws.reduce((least, each) => (each.heldOut < least.heldOut ? each : least)).law;
  return { holdout, points: splits.reduce((sum, { heldOut }) => sum + heldOut.length, 0), laws, best };
}

/**
 * Fits the law of scratch without what a comparison of CPT holds out, so that nothing of it is known: without the sizes
 * from the largest of CPT on, or without the last third of every run.
 * @param law the law fitted to all points of scratch
 * @throws UserError when too few points are left to fit it to
 */
export function scratchWithout(
  scratch: readonly RunPoint[],
  cpt: readonly RunPoint[],
  holdout: 'largest' | 'last',
  law: LawParameters,
): LawParameters {
  const split = holdout === 'largest' ? splitBelow(scratch, largestOf(cpt)) : splitsOf(scratch, holdout)[0]!;
  checkSplit(split, CHINCHILLA, holdout);
  const random = new Random(0, 'holdout', 'scratch');
  return fitFrom(split.fitted, CHINCHILLA, [law, ...randomStarts(split.fitted, CHINCHILLA, STARTS, random)]).law;
}

const largestOf = (points: readonly RunPoint[]): number =>
  points.reduce((most, { parameters }) => Math.max(most, parameters), 0);

const splitBelow = (points: readonly RunPoint[], size: number): Split =>
  splitBy(points, ({ parameters }) => parameters >= size);

const errorsOf = (law: LawParameters, points: readonly RunPoint[]): number[] =>
  points.map(({ parameters, tokens, loss }) => Math.log(lossAt(law, parameters, tokens) / loss));

/** Returns which points are fitted to and which are held out, once or a fold at a time. */
export function splitsOf(points: readonly RunPoint[], holdout: Holdout): Split[] {
  if (typeof holdout === 'number') {
    const order = new Random(0, 'folds').permutation(points.length);
    const folds = Array.from(order, place => place % holdout);
    return Array.from({ length: holdout }, (_, fold) => splitBy(points, (_point, i) => folds[i] === fold));
  }
  if (holdout === 'largest') return [splitBelow(points, largestOf(points))];
  const runOf = ({ run, parameters }: RunPoint) => run ?? `${parameters} parameters`;
  const ends = new Map<string, number>();
  for (const point of points) ends.set(runOf(point), Math.max(ends.get(runOf(point)) ?? 0, point.tokens));
  return [splitBy(points, point => point.tokens > LAST_FROM * ends.get(runOf(point))!)];
}

function splitBy(points: readonly RunPoint[], isHeldOut: (point: RunPoint, i: number) => boolean): Split {
  return {
    fitted: points.filter((point, i) => !isHeldOut(point, i)),
    heldOut: points.filter((point, i) => isHeldOut(point, i)),
  };
}

function checkSplit({ fitted, heldOut }: Split, { free }: Problem, holdout: Holdout): void {
  const sizes = new Set(fitted.map(({ parameters }) => parameters)).size;
  if (fitted.length >= free.length && sizes >= 2 && heldOut.length > 0) return;
  throw new UserError(
    `--holdout ${holdout} leaves ${fitted.length} points of ${sizes} sizes to fit to and holds ${heldOut.length} ` +
      `out: a law with ${free.length} parameters needs as many points, of two sizes or more`,
  );
}
