/**
 * Whether the points can answer: the Hessian of a fit at its optimum, and what to add where it is (nearly) singular.
 */
import { SVD } from 'ml-matrix';
import { mean } from '../mean.js';
import { median } from '../median.js';
import { figure } from './figure.js';
import { type LawParameters, type ParameterName, parameterNames } from './law.js';
import { LARGEST_EXPONENT, LawObjective, type LossPoint, type Problem } from './objective.js';

/** A direction in (ln E, ln A, ln B, α, β, γ), with ln N and ln D centred, in which the points say (nearly) nothing. */
export interface Undetermined {
  /** A unit vector; it leaves out the parameters that it does not move. */
  readonly direction: Readonly<Partial<Record<ParameterName, number>>>;
  /** The standard deviation along the direction for this spread of residuals; undefined where it has no bound. */
  readonly deviation: number | undefined;
}

export interface Diagnosis {
  /** Whether `open` is empty. */
  readonly determined: boolean;
  /** Parameters that could as well have other values. A CPT fit also lists those among the parameters that it keeps. */
  readonly open: readonly ParameterName[];
  /**
   * The eigenvalues of JᵀJ, largest first, where J = ∂ ln L / ∂ parameters over all points. JᵀJ is the Hessian where
   * residuals are within Huber's δ.
   */
  readonly eigenvalues: readonly number[];
  /** The spread of ln L about the fit: 1.4826 · median |r|, corrected for n − p degrees of freedom. */
  readonly residual: number;
  readonly undetermined: readonly Undetermined[];
  /** What the diagnosis means and which points to add, one sentence each. */
  readonly advice: readonly string[];
}

/** A direction is undetermined if its eigenvalue is at most this share of the largest: there rounding decides. */
const SINGULAR = 1e-8;
/** A direction is also undetermined above this standard deviation: an exponent could as well be 0.5 more. */
const VAGUE = 0.5;

export function diagnose(points: readonly LossPoint[], problem: Problem, law: LawParameters): Diagnosis {
  const objective = new LawObjective(points, problem);
  const theta = objective.fromLaw(law);
  const names = parameterNames.filter(name => problem.free.includes(name));
  const { eigenvalues, residual, undetermined } = directionsOf(
    objective.jacobian(theta),
    objective.residuals(theta),
    names,
  );
  const shortages = shortagesOf(points, problem);
  const unbounded = names.filter(name => isExponent(name) && Math.abs(law[name]) >= LARGEST_EXPONENT);
  const moved = new Set<string>([
    ...undetermined.flatMap(({ direction }) => Object.keys(direction)),
    ...shortages.flatMap(({ open }) => open),
    ...unbounded,
  ]);
  const open = names.filter(name => moved.has(name));
  return {
    determined: open.length === 0,
    open,
    eigenvalues,
    residual,
    undetermined,
    advice: [
      ...shortages.map(({ advice }) => advice),
      ...unbounded.map(
        name => `${name} ran to ${figure(law[name])}, the end of its search: the points leave it without bound`,
      ),
      ...(open.length > 0 ? adviceFor(points, open, shortages.length > 0) : []),
      ...(points.length < 3 * names.length
        ? [`${points.length} points for ${names.length} parameters are few: the intervals are likely too narrow`]
        : []),
    ],
  };
}

/**
 * Returns the directions in which the points say (nearly) nothing.
 * @param jacobian d ln L / d parameters: [points, parameters]
 * @param residuals ln L predicted − ln L observed: [points]
 */
export function directionsOf<Name extends string>(
  jacobian: number[][],
  residuals: ArrayLike<number>,
  names: readonly Name[],
): {
  readonly eigenvalues: number[];
  readonly residual: number;
  readonly undetermined: {
    readonly direction: Readonly<Partial<Record<Name, number>>>;
    readonly deviation: number | undefined;
  }[];
} {
  const svd = new SVD(jacobian, { computeLeftSingularVectors: false });
  const eigenvalues = svd.diagonal.map(s => s * s);
  const residual = spread(Array.from(residuals), names.length);
  const largest = eigenvalues[0]!;
  const undetermined = eigenvalues.flatMap((eigenvalue, i) => {
    const singular = eigenvalue <= SINGULAR * largest;
    const deviation = residual / Math.sqrt(eigenvalue);
    if (!singular && deviation <= VAGUE) return [];
    const vector = svd.rightSingularVectors.getColumn(i);
    const sign = Math.sign(vector.reduce((most, v) => (Math.abs(v) > Math.abs(most) ? v : most)));
    const direction = Object.fromEntries(
      names.flatMap((name, j) => (Math.abs(vector[j]!) >= 0.05 ? [[name, sign * vector[j]!]] : [])),
    ) as Partial<Record<Name, number>>;
    return [{ direction, deviation: singular ? undefined : deviation }];
  });
  return { eigenvalues, residual, undetermined };
}

const isExponent = (name: ParameterName): boolean => name === 'alpha' || name === 'beta' || name === 'gamma';

/** How many values a power law with a floor needs, one equation each for floor, coefficient and exponent. */
const NEEDED = 3;

/**
 * Finds the sizes and numbers of tokens that are too few whatever the losses are. A CPT law, which keeps its floor, has
 * no such shortage.
 */
function shortagesOf(points: readonly LossPoint[], { free }: Problem): { open: ParameterName[]; advice: string }[] {
  if (!free.includes('E')) return [];
  const kinds: readonly [number, string, string, ParameterName[]][] = [
    [distinct(points.map(({ parameters }) => parameters)), 'sizes', 'runs of', ['E', 'A', 'alpha']],
    [distinct(points.map(({ tokens }) => tokens)), 'numbers of tokens', 'points at', ['E', 'B', 'beta']],
  ];
  return kinds.flatMap(([count, what, where, open]) => {
    if (count >= NEEDED) return [];
    const advice =
      `too few ${what} (${count}): ${open.slice(0, 2).join(', ')} and ${open[2]} need at least ${NEEDED}; ` +
      'other values fit as well as ' +
      `those found, and an optimum by them means nothing: add ${where} other ${what}`;
    return [{ open, advice }];
  });
}

const distinct = (values: readonly number[]): number => new Set(values).size;

function spread(residuals: readonly number[], parameters: number): number {
  const { length } = residuals;
  return 1.4826 * median(residuals.map(Math.abs)) * Math.sqrt(length / Math.max(1, length - parameters));
}

/** Says which points to add. Where sizes or numbers of tokens are too few, `shortagesOf` has said it already. */
function adviceFor(points: readonly LossPoint[], open: readonly ParameterName[], isShort: boolean): string[] {
  if (collinear(points)) {
    const [low, high] = extremes(points.map(({ parameters, tokens }) => tokens / parameters));
    const [fewest, most] = extremes(points.map(({ tokens }) => tokens));
    const line =
      high / low < 1.02
        ? `D/N is ${figure(high)} at every point`
        : most / fewest < 1.02
          ? `D is ${figure(most)} at every point`
          : 'ln D is a straight line in ln N';
    return [
      `${line}, so that what tokens do cannot be told from what size does: add points along the runs ` +
        '(several D for each N), or runs at other tokens per parameter',
    ];
  }
  if (isShort) return [];
  const advice: string[] = [];
  const hasAny = (...names: readonly ParameterName[]) => names.some(name => open.includes(name));
  if (hasAny('E')) {
    advice.push('the floor E is lost in the other terms: add larger models that are trained on more tokens');
  }
  if (hasAny('A', 'alpha')) {
    advice.push(
      `sizes span a factor of ${factorOf(points.map(point => point.parameters))}: add smaller or larger models`,
    );
  }
  if (hasAny('B', 'beta', 'gamma')) {
    advice.push(
      `tokens span a factor of ${factorOf(points.map(point => point.tokens))}: add points at fewer and more tokens`,
    );
  }
  return advice;
}

/** Whether ln D follows ln N: what varies in ln D alone is below a thousandth of its variance, or of that of ln N. */
function collinear(points: readonly LossPoint[]): boolean {
  const x = points.map(({ parameters }) => Math.log(parameters));
  const y = points.map(({ tokens }) => Math.log(tokens));
  const [meanX, meanY] = [mean(x), mean(y)];
  const product = (a: readonly number[], meanA: number, b: readonly number[], meanB: number) =>
    mean(a.map((value, i) => (value - meanA) * (b[i]! - meanB)));
  const [xx, yy, xy] = [product(x, meanX, x, meanX), product(y, meanY, y, meanY), product(x, meanX, y, meanY)];
  return yy - (xy * xy) / xx < 1e-3 * Math.max(xx, yy);
}

const extremes = (values: readonly number[]): [number, number] => [Math.min(...values), Math.max(...values)];

function factorOf(values: readonly number[]): string {
  const [low, high] = extremes(values);
  return figure(high / low);
}
