/** A scaled sum, added to what is there. */
import { sum } from '../kernels/sum.js';
import { sumBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass } from '../numerics/inputs.js';
import { type Case, drawn, Input, kernelCase, updated } from './case.js';

export function sumCase({ count, inputClass = 'uniform' }: { count: number; inputClass?: InputClass }): Case {
  const scale = Math.fround(1 / count);
  const most = FORMATS.f32.largest / count / 2;
  return kernelCase({
    kernel: 'sum',
    shape: `${count}`,
    inputClass,
    inputs: { values: drawn(inputClass, `values ${count} ${inputClass}`, count, { most }) },
    outputs: { total: updated(new Input('f32', 1, () => Float64Array.of(0.5))) },
    expected({ values, total }) {
      const before = total[0]!;
      const exact = before + scale * values.reduce((a, b) => a + b, 0);
      const bound = sumBound(values, scale, Math.abs(before) + Math.abs(exact));
      return { total: { reference: Float64Array.of(exact), bound: Float64Array.of(bound) } };
    },
    calls: (variants, operands) => sum(variants, count, scale, operands),
  });
}
