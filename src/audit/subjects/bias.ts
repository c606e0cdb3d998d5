/** Biases, and their gradient: sums over rows. */
import { addBias } from '../../kernels/add-bias.js';
import { columnSumParts, columnSums } from '../../kernels/sum-rows.js';
import { biasBound, columnSumBound, storedBound } from '../../numerics/bounds.js';
import { rowCases, someRowCases, sumLengths } from '../../numerics/cases.js';
import { FORMATS, type InputClass, inputValues, type StoredType } from '../../numerics/inputs.js';
import * as reference from '../../numerics/reference.js';
import { floats, type Problem, rowVariants, type Scope, storedTypes } from '../problem.js';

const CLASSES: readonly InputClass[] = ['cancelling', 'wide', 'denormal', 'signed zeros', 'largest'];

export function* biasProblems(scope: Scope): Generator<Problem> {
  for (const type of storedTypes(scope)) {
    const sizes = (scope.quick ? someRowCases(1, type) : rowCases).map(({ shape }) => shape);
    for (const { rows, columns } of sizes) {
      yield addition(scope, type, rows, columns, 'uniform');
      yield sums(scope, type, rows, columns, 'uniform');
    }
    for (const inputClass of CLASSES) {
      yield addition(scope, type, 7, 129, inputClass);
      yield sums(scope, type, 200, 33, inputClass);
    }
    const lengths = sumLengths.filter(rows => !scope.quick || rows <= 4096);
    if (type === 'f32') for (const rows of lengths) yield sums(scope, type, rows, 3, 'uniform', rows);
  }
}

function addition(scope: Scope, type: StoredType, R: number, C: number, inputClass: InputClass): Problem {
  const label = `${R} ${C} ${inputClass}`;
  const most = FORMATS[type].largest / 4;
  const initial = inputValues(inputClass, `x ${label}`, R * C, { type, most });
  const bias = inputValues(inputClass, `bias ${label}`, C, { most });
  return {
    kernel: 'add_bias',
    shape: `${type}, ${R} x ${C}`,
    inputClass,
    inputs: { bias: floats(bias) },
    outputs: { x: { type, count: R * C, initial } },
    expected(given) {
      const y = reference.addBias(given.x!, given.bias!);
      return { x: { reference: y, bound: storedBound(biasBound(given.x!, given.bias!), y, type) } };
    },
    variants: rowVariants(scope, (table, bind) =>
      addBias(table, { rows: R, columns: C }, { bias: bind('bias'), x: bind('x') }),
    ),
  };
}

function sums(scope: Scope, type: StoredType, R: number, C: number, inputClass: InputClass, terms?: number): Problem {
  const label = `${R} ${C} ${inputClass}`;
  const most = Math.min(FORMATS[type].largest, FORMATS.f32.largest / R / 2);
  const values = inputValues(inputClass, `values ${label}`, R * C, { type, most });
  return {
    kernel: 'sum_rows',
    shape: `${type}, ${R} x ${C}`,
    inputClass,
    terms,
    inputs: { values: floats(values, type) },
    outputs: {
      partial: { type: 'f32', count: columnSumParts(R) * C },
      total: { type: 'f32', count: C, initial: inputValues('uniform', `total ${label}`, C) },
    },
    expected(given) {
      const [values, before] = [given.values!, given.total!];
      const sum = reference.columnSums(values, C).map((value, c) => value + before[c]!);
      const magnitudes = reference.columnSums(values.map(Math.abs), C);
      const bound = columnSumBound(
        magnitudes.map((value, c) => value + Math.abs(before[c]!)),
        R,
      );
      return { total: { reference: sum, bound } };
    },
    variants: rowVariants(scope, (table, bind) =>
      columnSums(
        table,
        { rows: R, columns: C },
        { values: bind('values'), partial: bind('partial'), total: bind('total') },
      ),
    ),
  };
}
