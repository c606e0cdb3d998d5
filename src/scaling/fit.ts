/** Fits a law to points: each start of a grid is followed to convergence. */
import type { Random } from '../random.js';
import type { LawParameters } from './law.js';
import { minimize } from './lbfgs.js';
import { huber, type LossPoint, Objective, type Problem } from './objective.js';

const NOTHING: LawParameters = { E: 0, A: 0, B: 0, alpha: 0, beta: 0, gamma: 0 };

/** The law of Hoffmann et al.: everything is free but γ, which is 0. */
export const CHINCHILLA: Problem = { free: ['E', 'A', 'B', 'alpha', 'beta'], held: NOTHING };
/** The same law with γ free. */
export const EXTENDED: Problem = { free: ['E', 'A', 'B', 'alpha', 'beta', 'gamma'], held: NOTHING };
/** The CPT law of Zheng et al.: it keeps E, A and α of the scratch fit. */
export const cptProblem = (scratch: LawParameters): Problem => ({ free: ['B', 'beta', 'gamma'], held: scratch });
/** The same law without γ. */
export const cptWithoutGamma = (scratch: LawParameters): Problem => ({
  free: ['B', 'beta'],
  held: { ...scratch, gamma: 0 },
});

export interface LawFit {
  readonly law: LawParameters;
  /** The sum of the points' Huber terms. */
  readonly objective: number;
  readonly starts: number;
  /** How many starts ended at this objective, to 1e-6 of it. */
  readonly agreeing: number;
  readonly converged: boolean;
}

/** Fits a problem's law. `more` are starts beside the grid, for instance the optimum of a narrower law. */
export function fitLaw(points: readonly LossPoint[], problem: Problem, more: readonly LawParameters[] = []): LawFit {
  const objective = new Objective(points, problem);
  return search(objective, [...gridOfStarts(points, problem), ...more]);
}

/** Returns the best end of several starts, and of equal ends (to 1e-6) the first. */
export function search(objective: Objective, starts: readonly LawParameters[]): LawFit {
  const ends = starts.map(start => minimize(objective.value, objective.fromLaw(start)));
  const lowest = Math.min(...ends.map(({ value }) => value));
  // an objective of about 1e-15 is zero: the points have no noise, and are fitted to rounding
  const agreeing = ends.filter(({ value }) => value <= lowest * (1 + 1e-6) + 1e-15);
  const best = agreeing[0]!;
  return {
    law: objective.toLaw(best.x),
    objective: objective.residuals(best.x).reduce((sum, r) => sum + huber(r), 0),
    starts: starts.length,
    agreeing: agreeing.length,
    converged: best.converged,
  };
}

/** The bounds of the grid, evenly spaced between: E as a share of the lowest loss, the exponents as they are. */
const RANGES = { E: [0.1, 0.9], alpha: [0.1, 1], beta: [0.1, 1], gamma: [-0.2, 0.3] } as const;
/** How many values the grid has of each free parameter: 500 starts for the laws, fewer where laws are only compared. */
const STEPS: Readonly<Record<string, Partial<Record<keyof typeof RANGES, number>>>> = {
  'E,alpha,beta': { E: 5, alpha: 10, beta: 10 },
  'E,alpha,beta,gamma': { E: 3, alpha: 4, beta: 4, gamma: 2 },
  'beta,gamma': { beta: 25, gamma: 20 },
  beta: { beta: 25 },
};

/** Returns the grid over E, α, β and γ. Each power term starts at half of (mean L − E) in the middle of the points. */
function gridOfStarts(points: readonly LossPoint[], problem: Problem): LawParameters[] {
  const searched = (['E', 'alpha', 'beta', 'gamma'] as const).filter(name => problem.free.includes(name));
  const steps = STEPS[searched.join(',')];
  if (!steps) throw new Error(`no grid for ${searched.join(', ')}`);
  const values = (name: keyof typeof RANGES): (number | undefined)[] => {
    const count = steps[name];
    const [from, to] = RANGES[name];
    if (count === undefined) return [undefined];
    return Array.from({ length: count }, (_, i) => from + ((to - from) * i) / (count - 1));
  };
  return values('E').flatMap(E =>
    values('alpha').flatMap(alpha =>
      values('beta').flatMap(beta => values('gamma').map(gamma => startAt(points, problem, { E, alpha, beta, gamma }))),
    ),
  );
}

/** Draws starts evenly from the box of the grid. */
export function randomStarts(
  points: readonly LossPoint[],
  problem: Problem,
  count: number,
  random: Random,
): LawParameters[] {
  const draw = ([from, to]: readonly [number, number]) => from + (to - from) * random.uniform();
  return Array.from({ length: count }, () =>
    startAt(points, problem, {
      E: draw(RANGES.E),
      alpha: draw(RANGES.alpha),
      beta: draw(RANGES.beta),
      gamma: draw(RANGES.gamma),
    }),
  );
}

function startAt(
  points: readonly LossPoint[],
  { free, held }: Problem,
  given: { [name in keyof typeof RANGES]: number | undefined },
): LawParameters {
  const mean = (of: (point: LossPoint) => number) => points.reduce((sum, point) => sum + of(point), 0) / points.length;
  const lowest = points.reduce((least, { loss }) => Math.min(least, loss), Number.POSITIVE_INFINITY);
  const pick = (name: 'alpha' | 'beta' | 'gamma') => (free.includes(name) ? (given[name] ?? 0) : held[name]);
  const E = free.includes('E') ? (given.E ?? 0) * lowest : held.E;
  const half = Math.max((mean(({ loss }) => loss) - E) / 2, 1e-3 * lowest);
  const [x, y] = [mean(({ parameters }) => Math.log(parameters)), mean(({ tokens }) => Math.log(tokens))];
  const [alpha, beta, gamma] = [pick('alpha'), pick('beta'), pick('gamma')];
  return { E, A: half * Math.exp(alpha * x), B: half * Math.exp(beta * y + gamma * x), alpha, beta, gamma };
}
