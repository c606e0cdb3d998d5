/** Fits a law to points: each start of a grid is followed to convergence. */
import type { Random } from '../random.js';
import type { LawParameters } from './law.js';
import { huber, LawObjective, type LossPoint, type Problem } from './objective.js';
import { search } from './search.js';

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
export function fitLaw(
  points: readonly LossPoint[],
  problem: Problem,
  more: readonly LawParameters[] = [],
  onDone?: () => void,
): LawFit {
  return fitFrom(points, problem, [...gridOfStarts(points, problem), ...more], onDone);
}

/** Fits from several starts: see `search`. */
export function fitFrom(
  points: readonly LossPoint[],
  problem: Problem,
  starts: readonly LawParameters[],
  onDone?: () => void,
): LawFit {
  const objective = new LawObjective(points, problem);
  const {
    theta,
    starts: count,
    agreeing,
    converged,
  } = search(
    objective,
    starts.map(start => objective.fromLaw(start)),
    onDone,
  );
  return {
    law: objective.toLaw(theta),
    objective: objective.residuals(theta).reduce((sum, r) => sum + huber(r), 0),
    starts: count,
    agreeing,
    converged,
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

/** Returns the number of starts of a problem's grid. */
export const gridSize = (problem: Problem): number =>
  Object.values(gridOf(problem)).reduce((product, count) => product * count, 1);

function gridOf({ free }: Problem) {
  const searched = (['E', 'alpha', 'beta', 'gamma'] as const).filter(name => free.includes(name));
  const steps = STEPS[searched.join(',')];
  if (!steps) throw new Error(`no grid for ${searched.join(', ')}`);
  return steps;
}

/** Returns the grid over E, α, β and γ. Each power term starts at half of (mean L − E) in the middle of the points. */
function gridOfStarts(points: readonly LossPoint[], problem: Problem): LawParameters[] {
  const steps = gridOf(problem);
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
