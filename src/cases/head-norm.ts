/** RMSNorm over heads of queries or of keys, or over all as one: forward, and the gradients of input and weight. */
import { headNormBackward, headNormForward, headNormParts } from '../kernels/head-norm.js';
import { rmsnormBound, rmsnormInputBound, rmsnormWeightBound, rstdBound, storedBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass, type StoredType, stored } from '../numerics/inputs.js';
import { rmsnorm, rmsnormBackward, type Vector } from '../numerics/reference.js';
import { apart, sideBySide } from '../numerics/side-by-side.js';
import type { QkNormOver } from '../ops/head-norm.js';
import { addedTo, type Case, drawn, Input, kernelCase, updated } from './case.js';
import { factorsOf } from './rmsnorm.js';

const EPS = Math.fround(1e-6);

export interface HeadNormCase {
  readonly rows: number;
  readonly H: number;
  readonly KV: number;
  readonly D: number;
  readonly kind: 'queries' | 'keys';
  readonly over?: QkNormOver;
  /** Whether weights are taken as 1 + weight. */
  readonly unitOffset?: boolean;
  readonly type: StoredType;
  readonly inputClass?: InputClass;
}

/** What both passes have: sizes as the launcher takes them, x, and what is normed as rows. */
function common(given: HeadNormCase) {
  const { rows, H, KV, D, kind, type, inputClass = 'uniform', over = 'head', unitOffset = false } = given;
  const label = `${rows} ${H} ${KV} ${D} ${inputClass}`;
  const rowSize = (H + 2 * KV) * D;
  const [offset, width] = kind === 'queries' ? [0, H * D] : [H * D, KV * D];
  const widths = [offset, width, rowSize - offset - width];
  const headSize = over === 'head' ? D : width;
  const most = Math.min(FORMATS[type].largest, Math.sqrt(FORMATS.f32.largest / headSize) / 2);
  return {
    label,
    count: rows * rowSize,
    sizes: { rows, heads: width / headSize, headSize, rowSize, offset, unitOffset },
    shape:
      `${type}, ${rows} rows, ${kind} of ${H}/${KV} heads of ${D}${over === 'head' ? '' : ' as one'}` +
      `${unitOffset ? ', by 1 + weight' : ''}`,
    x: drawn(inputClass, `x ${label}`, rows * rowSize, { type, most }),
    weight: drawn('uniform', `w ${label}`, headSize),
    ownOf: (x: Vector): Vector => apart(x, rows, widths)[1]!,
    /** The normed heads changed; what stands beside them as `others` makes it. */
    change(x: Vector, own: Vector, others: (values: Vector) => Vector): Vector {
      const [before, , after] = apart(x, rows, widths) as [Vector, Vector, Vector];
      return sideBySide([others(before), own, others(after)], rows);
    },
  };
}
const keep = (values: Vector): Vector => values;
const exact = (values: Vector): Vector => values.map(() => 0);

export function headNormForwardCase(given: HeadNormCase): Case {
  const { rows: R, type, inputClass = 'uniform' } = given;
  const { sizes, shape, x, weight, ownOf, change } = common(given);
  const { heads, headSize: D } = sizes;
  return kernelCase({
    kernel: 'head_norm_forward',
    shape,
    inputClass,
    inputs: { weight },
    outputs: { x: updated(x), rstd: { type: 'f32', count: R * heads } },
    expected({ x, weight }) {
      const { factors, widenings } = factorsOf(weight, sizes.unitOffset);
      const { y, rstd } = rmsnorm(ownOf(x), factors, R * heads, D, EPS);
      const bound = storedBound(rmsnormBound(y, factors, rstd, D, widenings), y, type);
      return {
        x: { reference: change(x, y, keep), bound: change(x, bound, exact) },
        rstd: { reference: rstd, bound: rstdBound(rstd, D) },
      };
    },
    calls: (variants, operands) => headNormForward(variants, { ...sizes, eps: EPS }, operands),
  });
}

/** `hasTotal`: with the weight's gradient, added to what is there. */
export function headNormBackwardCase(given: HeadNormCase & { readonly hasTotal?: boolean }): Case {
  const { rows: R, type, inputClass = 'uniform', hasTotal = true } = given;
  const { label, count, sizes, shape, x, weight, ownOf, change } = common(given);
  const { heads, headSize: D } = sizes;
  const parts = headNormParts(sizes);
  // dx has products of four factors: what is largest is x alone
  const others = inputClass === 'largest' ? 'uniform' : inputClass;
  return kernelCase({
    kernel: 'head_norm_backward',
    shape: `${shape}${hasTotal ? '' : ', input only'}`,
    inputClass,
    inputs: {
      weight,
      x,
      rstd: new Input('f32', R * heads, () =>
        stored(rmsnorm(ownOf(x.values), weight.values, R * heads, D, EPS).rstd, 'f32'),
      ),
    },
    outputs: {
      dx: updated(drawn(others, `dy ${label}`, count, { type })),
      ...(hasTotal && {
        partial: { type: 'f32', count: parts.partial * D },
        sums: { type: 'f32', count: parts.sums * D },
        total: updated(drawn('uniform', `total ${label}`, D)),
      }),
    },
    expected({ weight, x, rstd, dx: arriving, total }) {
      const { factors, widenings } = factorsOf(weight, sizes.unitOffset);
      const own = { x: ownOf(x), weight: factors, rstd, dy: ownOf(arriving) };
      const { dx, dweight } = rmsnormBackward(own.x, factors, rstd, own.dy, R * heads, D);
      const bound = storedBound(rmsnormInputBound(own, R * heads, D, undefined, widenings), dx, type);
      const sums = rmsnormWeightBound(own, R * heads, D);
      return {
        dx: { reference: change(arriving, dx, keep), bound: change(arriving, bound, exact) },
        ...(total && { total: addedTo(total, dweight, sums) }),
      };
    },
    calls: (variants, { partial, sums, total, ...operands }) =>
      headNormBackward(variants, sizes, { ...operands, dweight: partial && sums && total && { partial, sums, total } }),
  });
}
