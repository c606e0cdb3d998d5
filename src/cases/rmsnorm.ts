/** RMSNorm: forward, and its gradients for the input and for the weight. */
import { type RmsnormSizes, rmsnormBackward, rmsnormForward, rmsnormParts } from '../kernels/rmsnorm.js';
import { rmsnormBound, rmsnormInputBound, rmsnormWeightBound, rstdBound, storedBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass, type StoredType, stored } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { addedTo, type Case, drawn, Input, kernelCase, updated } from './case.js';

const EPS = Math.fround(1e-5);

export interface RmsnormCase extends RmsnormSizes {
  /** The type of y and dy. */
  readonly type: StoredType;
  readonly inputClass?: InputClass;
}

/** What a norm multiplies by, and the roundings that it is made with. */
export const factorsOf = (weight: reference.Vector, unitOffset: boolean) => ({
  factors: unitOffset ? weight.map(value => 1 + value) : weight,
  widenings: unitOffset ? 1 : 0,
});
const showOffset = (unitOffset: boolean) => (unitOffset ? ', by 1 + weight' : '');

/** Squares of x, summed over a row, must not overflow, nor y in its type. */
function operandsOf({ rows, columns, inputClass = 'uniform' }: RmsnormCase) {
  const label = `${rows} ${columns} ${inputClass}`;
  const most = Math.sqrt(FORMATS.f32.largest / columns) / 2;
  const x = drawn(inputClass, `x ${label}`, rows * columns, { most });
  return { label, x, weight: drawn('uniform', `w ${label}`, columns) };
}

export function rmsnormForwardCase(given: RmsnormCase): Case {
  const { rows: R, columns: C, type, inputClass = 'uniform', unitOffset = false } = given;
  const { x, weight } = operandsOf(given);
  return kernelCase({
    kernel: 'rmsnorm_forward',
    shape: `to ${type}, ${R} x ${C}${showOffset(unitOffset)}`,
    inputClass,
    inputs: { x, weight },
    outputs: { y: { type, count: R * C }, rstd: { type: 'f32', count: R } },
    flops: 4 * R * C,
    bytes: 2 * 4 * R * C,
    expected({ x, weight }) {
      const { factors, widenings } = factorsOf(weight, unitOffset);
      const { y, rstd } = reference.rmsnorm(x, factors, R, C, EPS);
      const bound = storedBound(rmsnormBound(y, factors, rstd, C, widenings), y, type);
      return { y: { reference: y, bound }, rstd: { reference: rstd, bound: rstdBound(rstd, C) } };
    },
    calls: (variants, operands) => rmsnormForward(variants, { rows: R, columns: C, unitOffset, eps: EPS }, operands),
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
  const { unitOffset = false } = given;
  const { label, x, weight } = operandsOf(given);
  // dx has products of four factors: what is largest is x alone
  const others = inputClass === 'largest' ? 'uniform' : inputClass;
  return kernelCase({
    kernel: 'rmsnorm_backward',
    shape:
      `from ${type}, ${R} x ${C}${hasAddend ? ', with an addend' : ''}${hasTotal ? '' : ', input only'}` +
      showOffset(unitOffset),
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
      const { factors, widenings } = factorsOf(weight, unitOffset);
      const { dx, dweight } = reference.rmsnormBackward(x, factors, rstd, dy, R, C);
      const sum = addend ? dx.map((value, i) => value + addend[i]!) : dx;
      const bound = rmsnormInputBound({ x, weight: factors, rstd, dy }, R, C, addend, widenings);
      const sums = rmsnormWeightBound({ x, rstd, dy }, R, C);
      return { dx: { reference: sum, bound }, ...(total && { total: addedTo(total, dweight, sums) }) };
    },
    calls: (variants, { partial, total, ...operands }) =>
      rmsnormBackward(
        variants,
        { rows: R, columns: C, unitOffset },
        { ...operands, dweight: partial && total && { partial, total } },
      ),
  });
}
