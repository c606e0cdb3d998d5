/** RMSNorm: forward, and its gradients for the input and for the weight. */
import { rmsnormBackward, rmsnormForward, rmsnormParts } from '../../kernels/rmsnorm.js';
import { rmsnormBound, rmsnormInputBound, rmsnormWeightBound, rstdBound, storedBound } from '../../numerics/bounds.js';
import { rowCases, someRowCases, sumLengths } from '../../numerics/cases.js';
import { FORMATS, type InputClass, inputValues, type StoredType, stored } from '../../numerics/inputs.js';
import { rmsnorm, rmsnormBackward as rmsnormBackward64, type Vector } from '../../numerics/reference.js';
import { addedTo, floats, type Problem, type Scope, storedTypes, tunedRows } from '../problem.js';

const CLASSES: readonly InputClass[] = ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'];
const EPS = Math.fround(1e-5);
const EPILOGUES = [false, true].flatMap(hasAddend => [false, true].map(hasTotal => ({ hasAddend, hasTotal })));

export function* rmsnormProblems(scope: Scope): Generator<Problem> {
  for (const type of storedTypes(scope)) {
    const sizes = (scope.quick ? someRowCases(0, type) : rowCases).map(({ shape }) => shape);
    for (const { rows, columns } of sizes) yield* problems(scope, type, rows, columns, 'uniform');
    for (const inputClass of CLASSES) yield* problems(scope, type, 65, 127, inputClass);
    if (type === 'f32') {
      const lengths = scope.quick ? sumLengths.filter(C => C <= 4096) : sumLengths;
      for (const C of lengths) yield forward(scope, type, 3, C, 'uniform', C);
    }
  }
}

function* problems(scope: Scope, type: StoredType, rows: number, columns: number, inputClass: InputClass) {
  yield forward(scope, type, rows, columns, inputClass);
  yield* gradients(scope, type, rows, columns, inputClass);
}

/** Squares of x, summed over a row, must not overflow, nor y in its type. */
function operands(rows: number, columns: number, inputClass: InputClass) {
  const label = `${rows} ${columns} ${inputClass}`;
  const most = Math.sqrt(FORMATS.f32.largest / columns) / 2;
  const x = inputValues(inputClass, `x ${label}`, rows * columns, { most });
  return { x, weight: inputValues('uniform', `w ${label}`, columns) };
}

function forward(
  scope: Scope,
  type: StoredType,
  R: number,
  C: number,
  inputClass: InputClass,
  terms?: number,
): Problem {
  const { x, weight } = operands(R, C, inputClass);
  return {
    kernel: 'rmsnorm_forward',
    shape: `to ${type}, ${R} x ${C}`,
    inputClass,
    terms,
    inputs: { x: floats(x), weight: floats(weight) },
    outputs: { y: { type, count: R * C }, rstd: { type: 'f32', count: R } },
    expected(given) {
      const { y, rstd } = rmsnorm(given.x!, given.weight!, R, C, EPS);
      const bound = storedBound(rmsnormBound(y, given.weight!, rstd, C), y, type);
      return { y: { reference: y, bound }, rstd: { reference: rstd, bound: rstdBound(rstd, C) } };
    },
    variants: tunedRows(scope, { kernel: 'rmsnorm_forward', rows: R, columns: C, type }, (table, bind) =>
      rmsnormForward(
        table,
        { rows: R, columns: C, eps: EPS },
        { x: bind('x'), weight: bind('weight'), y: bind('y'), rstd: bind('rstd') },
      ),
    ),
  };
}

function* gradients(scope: Scope, type: StoredType, R: number, C: number, inputClass: InputClass): Generator<Problem> {
  const { x, weight } = operands(R, C, inputClass);
  const label = `${R} ${C} ${inputClass}`;
  // dx has products of four factors: what is largest is x alone
  const others = inputClass === 'largest' ? 'uniform' : inputClass;
  const dy = inputValues(others, `dy ${label}`, R * C, { type });
  const rstd = stored(rmsnorm(x, weight, R, C, EPS).rstd, 'f32');
  const addend = inputValues(others, `addend ${label}`, R * C);
  const before = inputValues('uniform', `total ${label}`, C);
  const inputs = { x: floats(x), weight: floats(weight), rstd: floats(rstd), dy: floats(dy, type) };
  // of long rows all of them at once: the sums are made by the same lines
  for (const { hasAddend, hasTotal } of C > 1024 ? EPILOGUES.slice(-1) : EPILOGUES) {
    yield {
      kernel: 'rmsnorm_backward',
      shape: `from ${type}, ${R} x ${C}${hasAddend ? ', with an addend' : ''}${hasTotal ? '' : ', input only'}`,
      inputClass,
      inputs: { ...inputs, ...(hasAddend && { addend: floats(addend) }) },
      outputs: {
        dx: { type: 'f32', count: R * C },
        ...(hasTotal && {
          partial: { type: 'f32', count: rmsnormParts(R) * C },
          total: { type: 'f32', count: C, initial: before },
        }),
      },
      expected(given) {
        const { x, weight, rstd, dy, addend } = given as Record<'x' | 'weight' | 'rstd' | 'dy' | 'addend', Vector>;
        const { dx, dweight } = rmsnormBackward64(x, weight, rstd, dy, R, C);
        const reference = hasAddend ? dx.map((value, i) => value + addend[i]!) : dx;
        const bound = rmsnormInputBound({ x, weight, rstd, dy }, R, C, hasAddend ? addend : undefined);
        const sums = rmsnormWeightBound({ x, rstd, dy }, R, C);
        return { dx: { reference, bound }, ...(hasTotal && { total: addedTo(given.total!, dweight, sums) }) };
      },
      variants: tunedRows(scope, { kernel: 'rmsnorm_backward', rows: R, columns: C, type }, (table, bind) =>
        rmsnormBackward(
          table,
          { rows: R, columns: C },
          {
            x: bind('x'),
            weight: bind('weight'),
            rstd: bind('rstd'),
            dy: bind('dy'),
            addend: hasAddend ? bind('addend') : undefined,
            dx: bind('dx'),
            dweight: hasTotal ? { partial: bind('partial'), total: bind('total') } : undefined,
          },
        ),
      ),
    };
  }
}
