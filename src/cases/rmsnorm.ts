/** RMSNorm: forward, and its gradients for the input and for the weight. */
import { rmsnormBackward, rmsnormForward, rmsnormParts } from '../kernels/rmsnorm.js';
import type { RowSizes } from '../kernels/row-variant.js';
import { rmsnormBound, rmsnormInputBound, rmsnormWeightBound, rstdBound, storedBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass, type StoredType, stored } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { addedTo, type Case, drawn, Input, kernelCase, updated } from './case.js';

const EPS = Math.fround(1e-5);

export interface RmsnormCase extends RowSizes {
  /** The type of y and dy. */
  readonly type: StoredType;
  readonly inputClass?: InputClass;
}

/** Squares of x, summed over a row, must not overflow, nor y in its type. */
function operandsOf({ rows, columns, inputClass = 'uniform' }: RmsnormCase) {
  const label = `${rows} ${columns} ${inputClass}`;
  const most = Math.sqrt(FORMATS.f32.largest / columns) / 2;
  const x = drawn(inputClass, `x ${label}`, rows * columns, { most });
  return { label, x, weight: drawn('uniform', `w ${label}`, columns) };
}

export function rmsnormForwardCase(given: RmsnormCase): Case {
  const { rows: R, columns: C, type, inputClass = 'uniform' } = given;
  const { x, weight } = operandsOf(given);
  return kernelCase({
    kernel: 'rmsnorm_forward',
    shape: `to ${type}, ${R} x ${C}`,
    inputClass,
    inputs: { x, weight },
    outputs: { y: { type, count: R * C }, rstd: { type: 'f32', count: R } },
    flops: 4 * R * C,
    bytes: 2 * 4 * R * C,
    expected({ x, weight }) {
      const { y, rstd } = reference.rmsnorm(x, weight, R, C, EPS);
      const bound = storedBound(rmsnormBound(y, weight, rstd, C), y, type);
      return { y: { reference: y, bound }, rstd: { reference: rstd, bound: rstdBound(rstd, C) } };
    },
    calls: (variants, operands) => rmsnormForward(variants, { rows: R, columns: C, eps: EPS }, operands),
  });
}

/**
 * `hasAddend`: with a gradient that x has from elsewhere; `hasTotal`: with the weight's gradient, added to what is
 * there.
 */
export function rmsnormBackwardCase(
  given: RmsnormCase & { readonly hasAddend?: boolean; readonly hasTotal?: boolean },
): Case {
  const { rows: R, columns: C, type, inputClass = 'uniform', hasAddend = false, hasTotal = true } = given;
  const { label, x, weight } = operandsOf(given);
  // dx has products of four factors: what is largest is x alone
  const others = inputClass === 'largest' ? 'uniform' : inputClass;
  return kernelCase({
    kernel: 'rmsnorm_backward',
    shape: `from ${type}, ${R} x ${C}${hasAddend ? ', with an addend' : ''}${hasTotal ? '' : ', input only'}`,
    inputClass,
    inputs: {
      x,
      weight,
      rstd: new Input('f32', R, () => stored(reference.rmsnorm(x.values, weight.values, R, C, EPS).rstd, 'f32')),
      dy: drawn(others, `dy ${label}`, R * C, { type }),
      ...(hasAddend && { addend: drawn(others, `addend ${label}`, R * C) }),
    },
    outputs: {
      dx: { type: 'f32', count: R * C },
      ...(hasTotal && {
        partial: { type: 'f32', count: rmsnormParts(R) * C },
        total: updated(drawn('uniform', `total ${label}`, C)),
      }),
    },
    flops: 9 * R * C,
    bytes: 3 * 4 * R * C,
    expected({ x, weight, rstd, dy, addend, total }) {
      const { dx, dweight } = reference.rmsnormBackward(x, weight, rstd, dy, R, C);
      const sum = addend ? dx.map((value, i) => value + addend[i]!) : dx;
      const bound = rmsnormInputBound({ x, weight, rstd, dy }, R, C, addend);
      const sums = rmsnormWeightBound({ x, rstd, dy }, R, C);
      return { dx: { reference: sum, bound }, ...(total && { total: addedTo(total, dweight, sums) }) };
    },
    calls: (variants, { partial, total, ...operands }) =>
      rmsnormBackward(
        variants,
        { rows: R, columns: C },
        { ...operands, dweight: partial && total && { partial, total } },
      ),
  });
}
