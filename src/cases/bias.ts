/** Biases, and their gradient: sums over rows. */
import { addBias } from '../kernels/add-bias.js';
import type { RowSizes } from '../kernels/row-variant.js';
import { columnSumParts, columnSums } from '../kernels/sum-rows.js';
import { biasBound, columnSumBound, storedBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass, type StoredType } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { type Case, drawn, kernelCase, updated } from './case.js';

export interface BiasCase extends RowSizes {
  readonly type: StoredType;
  readonly inputClass?: InputClass;
}

export function addBiasCase({ rows, columns, type, inputClass = 'uniform' }: BiasCase): Case {
  const label = `${rows} ${columns} ${inputClass}`;
  const most = FORMATS[type].largest / 4;
  return kernelCase({
    kernel: 'add_bias',
    shape: `${type}, ${rows} x ${columns}`,
    inputClass,
    inputs: { bias: drawn(inputClass, `bias ${label}`, columns, { most }) },
    outputs: { x: updated(drawn(inputClass, `x ${label}`, rows * columns, { type, most })) },
    expected({ x, bias }) {
      const y = reference.addBias(x, bias);
      return { x: { reference: y, bound: storedBound(biasBound(x, bias), y, type) } };
    },
    calls: (variants, operands) => addBias(variants, { rows, columns }, operands),
  });
}

export function columnSumsCase({ rows: R, columns: C, type, inputClass = 'uniform' }: BiasCase): Case {
  const label = `${R} ${C} ${inputClass}`;
  const most = Math.min(FORMATS[type].largest, FORMATS.f32.largest / R / 2);
  return kernelCase({
    kernel: 'sum_rows',
    shape: `${type}, ${R} x ${C}`,
    inputClass,
    inputs: { values: drawn(inputClass, `values ${label}`, R * C, { type, most }) },
    outputs: {
      partial: { type: 'f32', count: columnSumParts(R) * C },
      total: updated(drawn('uniform', `total ${label}`, C)),
    },
    expected({ values, total: before }) {
      const sum = reference.columnSums(values, C).map((value, c) => value + before[c]!);
      const magnitudes = reference.columnSums(values.map(Math.abs), C);
      const bound = columnSumBound(
        magnitudes.map((value, c) => value + Math.abs(before[c]!)),
        R,
      );
      return { total: { reference: sum, bound } };
    },
    calls: (variants, operands) => columnSums(variants, { rows: R, columns: C }, operands),
  });
}
