/** Sums of two tensors, one added to another, conversions, and soft caps. */
import { accumulate, add } from '../kernels/add.js';
import { cast } from '../kernels/cast.js';
import { softCapInPlace } from '../kernels/soft-cap.js';
import { flushedValues, storedBound, TINY, U } from '../numerics/bounds.js';
import { FORMATS, type Format, type InputClass, type StoredType } from '../numerics/inputs.js';
import type { Vector } from '../numerics/reference.js';
import { softCap, softCapError } from '../numerics/soft-cap.js';
import { type Case, drawn, type Expected, kernelCase, updated } from './case.js';

export interface SumOfTwoCase {
  readonly count: number;
  readonly type: StoredType;
  readonly inputClass?: InputClass;
}

function addendsOf({ count, type, inputClass = 'uniform' }: SumOfTwoCase) {
  const [label, most] = [`${type} ${count} ${inputClass}`, FORMATS[type].largest / 2];
  return {
    a: drawn(inputClass, `a ${label}`, count, { type, most }),
    b: drawn(inputClass, `b ${label}`, count, { type, most }),
    expected(a: Vector, b: Vector): Expected {
      const sum = a.map((value, i) => value + b[i]!);
      const [lostOfA, lostOfB] = [flushedValues(a, type), flushedValues(b, type)];
      const bound = sum.map((value, i) => U * Math.abs(value) + TINY + lostOfA[i]! + lostOfB[i]!);
      return { reference: sum, bound: storedBound(bound, sum, type) };
    },
  };
}

export function addCase(given: SumOfTwoCase): Case {
  const { count, type, inputClass = 'uniform' } = given;
  const { a, b, expected } = addendsOf(given);
  return kernelCase({
    kernel: 'add',
    shape: `${type}, ${count}`,
    inputClass,
    inputs: { a, b },
    outputs: { y: { type, count } },
    expected: ({ a, b }) => ({ y: expected(a, b) }),
    calls: (variants, operands) => add(variants, count, operands),
  });
}

export function accumulateCase(given: SumOfTwoCase): Case {
  const { count, type, inputClass = 'uniform' } = given;
  const { a, b, expected } = addendsOf(given);
  return kernelCase({
    kernel: 'add',
    shape: `${type}, ${count}, accumulated`,
    inputClass,
    inputs: { a },
    outputs: { y: updated(b) },
    expected: ({ a, y }) => ({ y: expected(a, y) }),
    calls: (variants, operands) => accumulate(variants, count, operands),
  });
}

export interface CastCase {
  readonly count: number;
  readonly from: Format;
  readonly to: StoredType;
  /** A factor of all values; without one they keep theirs. */
  readonly scale?: number;
  readonly inputClass?: InputClass;
}

/** What bf16 holds and f16 does not overflow at. */
const LARGEST_OF_BOTH = 65280;

export function castCase({ count, from, to, scale, inputClass = 'uniform' }: CastCase): Case {
  const most = (from === 'bf16' ? LARGEST_OF_BOTH : FORMATS.f16.largest) / Math.max(1, scale ?? 1);
  return kernelCase({
    kernel: 'cast',
    shape: `${from} to ${to}, ${count}${scale === undefined ? '' : `, times ${scale}`}`,
    inputClass,
    inputs: { x: drawn(inputClass, `x ${from} ${count} ${inputClass}`, count, { type: from, most }) },
    outputs: { y: { type: to, count } },
    expected({ x }) {
      if (scale === undefined) return { y: { reference: x, bound: storedBound(flushedValues(x, from), x, to) } };
      const reference = x.map(value => scale * value);
      const lost = flushedValues(x, from);
      // the factor is rounded to f32, and then the product
      const bound = reference.map((value, i) => 2 * U * Math.abs(value) + TINY + scale * lost[i]!);
      return { y: { reference, bound: storedBound(bound, reference, to) } };
    },
    calls: (variants, operands) => cast(variants, count, operands, scale),
  });
}

export interface SoftCapCase {
  readonly count: number;
  readonly cap: number;
  readonly inputClass?: InputClass;
}

/** Values from far below the cap to three times beyond it. */
export const softCapCase = ({ count, cap, inputClass = 'uniform' }: SoftCapCase): Case =>
  kernelCase({
    kernel: 'soft_cap',
    shape: `f32, ${count}, capped at ${cap}`,
    inputClass,
    inputs: {},
    outputs: { x: updated(drawn(inputClass, `x ${count} ${inputClass}`, count, { low: -3 * cap, high: 3 * cap })) },
    expected({ x }) {
      const reference = x.map(value => softCap(value, cap));
      return { x: { reference, bound: reference.map(value => softCapError(value, cap, 0)) } };
    },
    calls: (variants, operands) => softCapInPlace(variants, count, operands, cap),
  });
