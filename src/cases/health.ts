/** What a run looks at: the reduction of a tensor, and of AdamW's update, to five numbers a part. */
import { HEALTH_WORDS, healthParts, tensorHealth, updateHealth } from '../kernels/tensor-health.js';
import { DIVISION, gamma, SQRT, squaresBound, TINY, U } from '../numerics/bounds.js';
import { FORMATS, type InputClass } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import { type Case, drawn, type Expected, kernelCase, sent } from './case.js';

const PART = 16_384;
const { least, tiny, largest } = FORMATS.f32;
const EPS = Math.fround(1e-8);
const [CORRECTION1, CORRECTION2] = [3.690036773681641, 7.012622833251953].map(Math.fround) as [number, number];

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

const reportOfParts = (count: number) => ({ type: 'f32', count: HEALTH_WORDS * healthParts(count) }) as const;

/** Whether any part counts a value that is not finite. */
const reports = ({ report }: Readonly<Record<string, ArrayLike<number>>>): boolean =>
  Array.from(report!).some((word, i) => i % HEALTH_WORDS === HEALTH_WORDS - 1 && word !== 0);

export function tensorHealthCase(given: { readonly count: number; readonly inputClass?: InputClass }): Case {
  const { count, inputClass = 'uniform' } = given;
  return kernelCase({
    kernel: 'tensor_health',
    shape: `${count}`,
    inputClass,
    inputs: { x: drawn(inputClass, `x ${count} ${inputClass}`, count, { most: Math.sqrt(largest / PART) / 2 }) },
    outputs: { report: reportOfParts(count) },
    expected: ({ x }) => ({ report: reportOf(x, 0) }),
    calls: (variants, operands) => tensorHealth(variants, count, 0, operands),
    reports,
  });
}

export function updateHealthCase({ count }: { readonly count: number }): Case {
  // the product, the root of a product, a sum, a division
  const relative = gamma(2) + U / 2 + SQRT + U + DIVISION;
  return kernelCase({
    kernel: 'tensor_health',
    shape: `of an update, ${count}`,
    inputClass: 'uniform',
    inputs: {
      health: sent([0, 1, 0, 0, 1, 0, CORRECTION1, CORRECTION2]),
      m: drawn('uniform', `m ${count}`, count),
      v: drawn('uniform', `v ${count}`, count, { low: 1e-3, high: 2 }),
    },
    outputs: { report: reportOfParts(count) },
    expected({ m, v }) {
      const values = m.map((mean, i) => (mean * CORRECTION1) / (Math.sqrt(v[i]! * CORRECTION2) + EPS));
      return { report: reportOf(values, relative) };
    },
    calls: (variants, operands) => updateHealth(variants, count, 0, EPS, operands),
    reports,
  });
}
