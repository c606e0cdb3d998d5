/** What a run looks at: the reduction of a tensor, and of AdamW's update, to five numbers a part. */
import { codedSizes } from '../kernels/adamw-8bit.js';
import { HEALTH_WORDS, healthParts, tensorHealth, updateHealth } from '../kernels/tensor-health.js';
import { DIVISION, gamma, SQRT, TINY, U } from '../numerics/bounds.js';
import { FORMATS, type Format, type InputClass } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import { squaresBound } from '../numerics/update-bounds.js';
import { encodeMoments, widenMoments } from '../optim/moment-codes.js';
import { WIDENINGS } from './adamw-8bit.js';
import { type Case, drawn, type Expected, Input, kernelCase, sent } from './case.js';

const PART = 16_384;
const { least, tiny, largest } = FORMATS.f32;
const EPS = Math.fround(1e-8);
const [CORRECTION1, CORRECTION2] = [3.690036773681641, 7.012622833251953].map(Math.fround) as [number, number];

/** Five words a part, the counts as the f32 of the same bits. `relative` is the error of each value. */
function reportOf(values: Vector, relative: number, normal = tiny): Expected {
  const words = HEALTH_WORDS * healthParts(values.length);
  const [reference, bound] = [new Float64Array(words), new Float64Array(words)];
  for (let part = 0; part < healthParts(values.length); part++) {
    const own = values.subarray(part * PART, (part + 1) * PART);
    const magnitudes = own.map(Math.abs);
    const finite = magnitudes.filter(Number.isFinite);
    const amax = finite.reduce((a, b) => Math.max(a, b), 0);
    const squares = finite.reduce((sum, value) => sum + value * value, 0);
    const zeros = finite.filter(value => value === 0).length;
    const subnormals = finite.filter(value => value > 0 && value < normal).length;
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

interface TensorHealthCase {
  readonly count: number;
  readonly type?: Format;
  readonly inputClass?: InputClass;
}

export function tensorHealthCase({ count, type = 'f32', inputClass = 'uniform' }: TensorHealthCase): Case {
  const most = Math.min(Math.sqrt(largest / PART), FORMATS[type].largest) / 2;
  return kernelCase({
    kernel: 'tensor_health',
    shape: `${count}${type === 'f32' ? '' : `, ${type}`}`,
    inputClass,
    inputs: { x: drawn(inputClass, `x ${count} ${inputClass}`, count, { most, type }) },
    outputs: { report: reportOfParts(count) },
    // halves are widened by integers, and subnormals are those of their type
    expected: ({ x }) => ({ report: reportOf(x, 0, FORMATS[type].tiny) }),
    calls: (variants, operands) => tensorHealth(variants, count, 0, operands),
    reports,
  });
}

export interface UpdateHealthCase {
  readonly count: number;
  /** Whether the moments are codes of 8 bits. */
  readonly isCoded?: boolean;
}

export function updateHealthCase({ count, isCoded = false }: UpdateHealthCase): Case {
  const m = drawn('uniform', `m ${count}`, count);
  const v = drawn('uniform', `v ${count}`, count, { low: 1e-3, high: 2 });
  return isCoded ? codedUpdateCase(count, m, v) : plainUpdateCase(count, m, v);
}

/** Errors of the product, the root of a product, a sum, and a division. */
const UPDATE_ERROR = gamma(2) + U / 2 + SQRT + U + DIVISION;
const healthInput = () => sent([0, 1, 0, 0, 1, 0, CORRECTION1, CORRECTION2]);
const updateOf = (m: Vector, v: Vector): Vector =>
  m.map((mean, i) => (mean * CORRECTION1) / (Math.sqrt(v[i]! * CORRECTION2) + EPS));

function plainUpdateCase(count: number, m: Input<'f32'>, v: Input<'f32'>): Case {
  return kernelCase({
    kernel: 'tensor_health',
    shape: `of an update, ${count}`,
    inputClass: 'uniform',
    inputs: { health: healthInput(), m, v },
    outputs: { report: reportOfParts(count) },
    expected: ({ m, v }) => ({ report: reportOf(updateOf(m, v), UPDATE_ERROR) }),
    calls: (variants, { health, report, m, v }) =>
      updateHealth(variants, count, 0, EPS, { health, report, moments: { m, v } }),
    reports,
  });
}

function codedUpdateCase(count: number, m: Input<'f32'>, v: Input<'f32'>): Case {
  const coded = () => encodeMoments({ m: Float32Array.from(m.values), v: Float32Array.from(v.values) });
  return kernelCase({
    kernel: 'tensor_health',
    shape: `of an update, ${count}, of moments in 8 bits`,
    inputClass: 'uniform',
    inputs: {
      health: healthInput(),
      codes: new Input('u8', codedSizes(count).codes, () => Float64Array.from(coded().codes), true),
      maxima: new Input('f32', codedSizes(count).maxima, () => Float64Array.from(coded().maxima)),
    },
    outputs: { report: reportOfParts(count) },
    expected({ codes, maxima }) {
      const { m, v } = widenMoments(codes, maxima, count);
      return { report: reportOf(updateOf(m, v), UPDATE_ERROR + 1.5 * gamma(WIDENINGS)) };
    },
    calls: (variants, { health, report, codes, maxima }) =>
      updateHealth(variants, count, 0, EPS, { health, report, moments: { codes, maxima } }),
    reports,
  });
}
