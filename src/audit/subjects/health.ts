/** What a run looks at: the reduction of a tensor, and of AdamW's update, to five numbers a part. */
import { HEALTH_WORDS, healthParts, tensorHealth, updateHealth } from '../../kernels/tensor-health.js';
import { DIVISION, gamma, SQRT, squaresBound, TINY, U } from '../../numerics/bounds.js';
import { elementCases } from '../../numerics/cases.js';
import { FORMATS, INPUT_CLASSES, type InputClass, inputValues } from '../../numerics/inputs.js';
import type { Vector } from '../../numerics/reference.js';
import { type Expected, floats, type Problem, rowVariants, type Scope } from '../problem.js';

const PART = 16_384;
const { least, tiny, largest } = FORMATS.f32;
const EPS = Math.fround(1e-8);
const [CORRECTION1, CORRECTION2] = [3.690036773681641, 7.012622833251953];

export function* healthProblems(scope: Scope): Generator<Problem> {
  for (const count of elementCases) yield tensor(scope, count, 'uniform');
  for (const inputClass of INPUT_CLASSES.slice(1)) yield tensor(scope, 1000, inputClass);
  for (const count of elementCases) yield update(scope, count);
}

/** Five words a part, the counts as the f32 of the same bits. `relative` is the error of each value. */
function reportOf(values: Vector, relative: number): Expected {
  const words = HEALTH_WORDS * healthParts(values.length);
  const [reference, bound] = [new Float64Array(words), new Float64Array(words)];
  for (let part = 0; part < healthParts(values.length); part++) {
    const own = values.subarray(part * PART, (part + 1) * PART);
    const magnitudes = own.map(Math.abs);
    const finite = magnitudes.filter(Number.isFinite);
    const amax = finite.reduce((a, b) => Math.max(a, b), 0);
    const squares = finite.reduce((sum, value) => sum + value * value, 0);
    const zeros = finite.filter(value => value === 0).length;
    const subnormals = finite.filter(value => value > 0 && value < tiny).length;
    const counts = [zeros, subnormals, own.length - finite.length].map(count => count * least);
    reference.set([amax, squares, ...counts], HEALTH_WORDS * part);
    const squaresError = squaresBound(squares * (1 + 3 * relative), own.length) + 3 * relative * squares;
    bound.set([amax * relative + TINY, squaresError], HEALTH_WORDS * part);
  }
  return { reference, bound };
}

/** Of any part: its count of what is not finite. */
const reports = ({ report }: Readonly<Record<string, Float32Array | Vector>>): boolean =>
  [...report!].some((word, i) => i % HEALTH_WORDS === HEALTH_WORDS - 1 && word !== 0);

function tensor(scope: Scope, count: number, inputClass: InputClass): Problem {
  const x = inputValues(inputClass, `x ${count} ${inputClass}`, count, { most: Math.sqrt(largest / PART) / 2 });
  return {
    kernel: 'tensor_health',
    shape: `${count}`,
    inputClass,
    inputs: { x: floats(x) },
    outputs: { report: { type: 'f32', count: HEALTH_WORDS * healthParts(count) } },
    expected: given => ({ report: reportOf(given.x!, 0) }),
    variants: rowVariants(scope, (table, bind) =>
      tensorHealth(table, count, 0, { x: bind('x'), report: bind('report') }),
    ),
    reports,
  };
}

function update(scope: Scope, count: number): Problem {
  const m = inputValues('uniform', `m ${count}`, count);
  const v = inputValues('uniform', `v ${count}`, count, { low: 1e-3, high: 2 });
  const health = [CORRECTION1, CORRECTION2].map(Math.fround) as [number, number];
  // the product, the root of a product, a sum, a division
  const relative = gamma(2) + U / 2 + SQRT + U + DIVISION;
  return {
    kernel: 'tensor_health',
    shape: `of an update, ${count}`,
    inputClass: 'uniform',
    inputs: { health: floats(Float64Array.of(0, 1, 0, 0, 1, 0, ...health)), m: floats(m), v: floats(v) },
    outputs: { report: { type: 'f32', count: HEALTH_WORDS * healthParts(count) } },
    expected({ m, v }) {
      const values = m!.map((mean, i) => (mean * health[0]) / (Math.sqrt(v![i]! * health[1]) + EPS));
      return { report: reportOf(values, relative) };
    },
    variants: rowVariants(scope, (table, bind) =>
      updateHealth(table, count, 0, EPS, {
        health: bind('health'),
        m: bind('m'),
        v: bind('v'),
        report: bind('report'),
      }),
    ),
    reports,
  };
}
