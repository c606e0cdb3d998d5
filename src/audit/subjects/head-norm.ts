/** RMSNorm over the heads of queries and of keys: forward, and its gradients for the input and for the weight. */
import { headNormBackward, headNormForward, headNormParts } from '../../kernels/head-norm.js';
import { rmsnormBound, rmsnormInputBound, rmsnormWeightBound, rstdBound, storedBound } from '../../numerics/bounds.js';
import { headNormCases } from '../../numerics/cases.js';
import { FORMATS, type InputClass, inputValues, type StoredType, stored } from '../../numerics/inputs.js';
import { rmsnorm, rmsnormBackward, type Vector } from '../../numerics/reference.js';
import { apart, sideBySide } from '../../numerics/side-by-side.js';
import { addedTo, floats, type Problem, rowVariants, type Scope, storedTypes } from '../problem.js';

const CLASSES: readonly InputClass[] = ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'];
const EPS = Math.fround(1e-6);

export function* headNormProblems(scope: Scope): Generator<Problem> {
  for (const type of storedTypes(scope)) {
    for (const [i, size] of headNormCases.entries()) {
      if (scope.quick && i % 2 === 0) continue;
      for (const kind of KINDS) yield* problems(scope, type, size, kind, 'uniform');
    }
    for (const inputClass of CLASSES) yield* problems(scope, type, headNormCases[1]!, 'keys', inputClass);
  }
}

const KINDS = ['queries', 'keys'] as const;

function* problems(
  scope: Scope,
  type: StoredType,
  [R, H, KV, D]: (typeof headNormCases)[number],
  kind: (typeof KINDS)[number],
  inputClass: InputClass,
): Generator<Problem> {
  const label = `${R} ${H} ${KV} ${D} ${inputClass}`;
  const rowHeads = H + 2 * KV;
  const [firstHead, heads] = kind === 'queries' ? [0, H] : [H, KV];
  const sizes = { rows: R, heads, firstHead, rowHeads, headSize: D };
  const widths = [firstHead, heads, rowHeads - firstHead - heads].map(count => count * D);
  /** The heads that are normed, as rows of D, changed; what stands beside them as `others` makes it. */
  const change = (x: Vector, own: Vector, others: (values: Vector) => Vector) => {
    const [before, , after] = apart(x, R, widths) as [Vector, Vector, Vector];
    return sideBySide([others(before), own, others(after)], R);
  };
  const ownOf = (x: Vector) => apart(x, R, widths)[1]!;
  const keep = (values: Vector) => values;
  const exact = (values: Vector) => values.map(() => 0);

  const most = Math.min(FORMATS[type].largest, Math.sqrt(FORMATS.f32.largest / D) / 2);
  const x = inputValues(inputClass, `x ${label}`, R * rowHeads * D, { type, most });
  const weight = inputValues('uniform', `w ${label}`, D);
  const shape = `${type}, ${R} rows, ${kind} of ${H}/${KV} heads of ${D}`;
  yield {
    kernel: 'head_norm_forward',
    shape,
    inputClass,
    inputs: { weight: floats(weight) },
    outputs: { x: { type, count: x.length, initial: x }, rstd: { type: 'f32', count: R * heads } },
    expected(given) {
      const { y, rstd } = rmsnorm(ownOf(given.x!), given.weight!, R * heads, D, EPS);
      const bound = storedBound(rmsnormBound(y, given.weight!, rstd, D), y, type);
      return {
        x: { reference: change(given.x!, y, keep), bound: change(given.x!, bound, exact) },
        rstd: { reference: rstd, bound: rstdBound(rstd, D) },
      };
    },
    variants: rowVariants(scope, (table, bind) =>
      headNormForward(table, { ...sizes, eps: EPS }, { weight: bind('weight'), x: bind('x'), rstd: bind('rstd') }),
    ),
  };

  // dx has products of four factors: what is largest is x alone
  const dy = inputValues(inputClass === 'largest' ? 'uniform' : inputClass, `dy ${label}`, x.length, { type });
  const rstd = stored(rmsnorm(ownOf(x), weight, R * heads, D, EPS).rstd, 'f32');
  const parts = headNormParts(sizes);
  for (const hasTotal of [true, false]) {
    yield {
      kernel: 'head_norm_backward',
      shape: `${shape}${hasTotal ? '' : ', input only'}`,
      inputClass,
      inputs: { weight: floats(weight), x: floats(x, type), rstd: floats(rstd) },
      outputs: {
        dx: { type, count: x.length, initial: dy },
        ...(hasTotal && {
          partial: { type: 'f32', count: parts.partial * D },
          sums: { type: 'f32', count: parts.sums * D },
          total: { type: 'f32', count: D, initial: inputValues('uniform', `total ${label}`, D) },
        }),
      },
      expected(given) {
        const { weight, rstd, total } = given as Record<'weight' | 'rstd' | 'total', Vector>;
        const own = { x: ownOf(given.x!), weight, rstd, dy: ownOf(given.dx!) };
        const { dx, dweight } = rmsnormBackward(own.x, weight, rstd, own.dy, R * heads, D);
        const bound = storedBound(rmsnormInputBound(own, R * heads, D), dx, type);
        const sums = rmsnormWeightBound(own, R * heads, D);
        return {
          dx: { reference: change(given.dx!, dx, keep), bound: change(given.dx!, bound, exact) },
          ...(hasTotal && { total: addedTo(total, dweight, sums) }),
        };
      },
      variants: rowVariants(scope, (table, bind) =>
        headNormBackward(table, sizes, {
          weight: bind('weight'),
          x: bind('x'),
          rstd: bind('rstd'),
          dx: bind('dx'),
          dweight: hasTotal ? { partial: bind('partial'), sums: bind('sums'), total: bind('total') } : undefined,
        }),
      ),
    };
  }
}
