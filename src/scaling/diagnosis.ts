/** Whether points can answer: the Hessian of a fit at its optimum, and what to add where it is (nearly) singular. */
import { SVD } from 'ml-matrix';
import { figure } from './figure.js';
import { type LawParameters, type ParameterName, parameterNames } from './law.js';
import { type LossPoint, Objective, type Problem } from './objective.js';

/** A direction in (ln E, ln A, ln B, α, β, γ), with ln N and ln D centred, in which the points say (nearly) nothing. */
export interface Undetermined {
  /** Unit vector; parameters that it does not move are left out. */
  readonly direction: Readonly<Partial<Record<ParameterName, number>>>;
  /** Standard deviation along it for this spread of residuals; undefined where it has no bound. */
  readonly deviation: number | undefined;
}

export interface Diagnosis {
  readonly determined: boolean;
  /** Of JᵀJ, J = ∂ ln L / ∂ parameters over all points: the Hessian where residuals are within Huber's δ. Falling. */
  readonly eigenvalues: readonly number[];
  /** Spread of ln L about the fit: 1.4826 · median |r|, for n − p degrees of freedom. */
  readonly residual: number;
  readonly undetermined: readonly Undetermined[];
  /** What it means and what to add, a sentence each. */
  readonly advice: readonly string[];
}

/** Smallest over largest eigenvalue below which a direction counts as undetermined: there rounding decides. */
const SINGULAR = 1e-8;
/** Standard deviation beyond which it does: an exponent that could as well be 0.5 more. */
const VAGUE = 0.5;

export function diagnose(points: readonly LossPoint[], problem: Problem, law: LawParameters): Diagnosis {
  const objective = new Objective(points, problem);
  const theta = objective.fromLaw(law);
  const names = parameterNames.filter(name => problem.free.includes(name));
  const svd = new SVD(objective.jacobian(theta), { computeLeftSingularVectors: false });
  const eigenvalues = svd.diagonal.map(s => s * s);
  const residual = spread(objective.residuals(theta), names.length);
  const largest = eigenvalues[0]!;
  const undetermined = eigenvalues.flatMap((eigenvalue, i): Undetermined[] => {
    const singular = eigenvalue <= SINGULAR * largest;
    const deviation = residual / Math.sqrt(eigenvalue);
    if (!singular && deviation <= VAGUE) return [];
    const vector = svd.rightSingularVectors.getColumn(i);
    const sign = Math.sign(vector.reduce((most, v) => (Math.abs(v) > Math.abs(most) ? v : most)));
    const direction = Object.fromEntries(
      names.flatMap((name, j) => (Math.abs(vector[j]!) >= 0.05 ? [[name, sign * vector[j]!]] : [])),
    );
    return [{ direction, deviation: singular ? undefined : deviation }];
  });
  return {
    determined: undetermined.length === 0,
    eigenvalues,
    residual,
    undetermined,
    advice: adviceFor(points, undetermined, names.length),
  };
}

function spread(residuals: readonly number[], parameters: number): number {
  const sizes = residuals.map(Math.abs).sort((a, b) => a - b);
  const median = (sizes[Math.floor((sizes.length - 1) / 2)]! + sizes[Math.floor(sizes.length / 2)]!) / 2;
  return 1.4826 * median * Math.sqrt(sizes.length / Math.max(1, sizes.length - parameters));
}

function adviceFor(points: readonly LossPoint[], undetermined: readonly Undetermined[], parameters: number): string[] {
  const advice: string[] = [];
  if (undetermined.length > 0) {
    const [low, high] = extremes(points.map(({ parameters, tokens }) => tokens / parameters));
    const moved = new Set(undetermined.flatMap(({ direction }) => Object.keys(direction)));
    if (collinear(points)) {
      const [fewest, most] = extremes(points.map(({ tokens }) => tokens));
      const line =
        high / low < 1.02
          ? `D/N is ${figure(high)} at every point`
          : most / fewest < 1.02
            ? `D is ${figure(most)} at every point`
            : 'ln D is a straight line in ln N';
      advice.push(
        `${line}, so that what tokens do cannot be told from what size does: add points along the runs ` +
          '(several D for each N), or runs at other tokens per parameter',
      );
    } else {
      if (moved.has('E')) {
        advice.push('the floor E is lost in the other terms: add larger models that are trained on more tokens');
      }
      if (moved.has('A') || moved.has('alpha')) {
        advice.push(
          `sizes span a factor of ${factorOf(points.map(point => point.parameters))}: add smaller or larger models`,
        );
      }
      if (moved.has('B') || moved.has('beta') || moved.has('gamma')) {
        advice.push(
          `tokens span a factor of ${factorOf(points.map(point => point.tokens))}: add points at fewer and more tokens`,
        );
      }
    }
  }
  if (points.length < 3 * parameters) {
    advice.push(`${points.length} points for ${parameters} parameters are few: the intervals are likely too narrow`);
  }
  return advice;
}

/** Whether ln D follows ln N: less than a thousandth of its variance, or of that of ln N, is its own. */
function collinear(points: readonly LossPoint[]): boolean {
  const x = points.map(({ parameters }) => Math.log(parameters));
  const y = points.map(({ tokens }) => Math.log(tokens));
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
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
