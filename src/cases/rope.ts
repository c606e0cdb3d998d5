/** Rotary embedding, in place, and the rotation back. */
import { type RopeSizes, rope } from '../kernels/rope.js';
import { ropeBound, storedBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass, type StoredType } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { ropeTable } from '../ops/rope.js';
import { type Case, drawn, Input, kernelCase, updated } from './case.js';

const THETA = 10_000;

export interface RopeCase extends RopeSizes {
  readonly type: StoredType;
  readonly inverse?: boolean;
  readonly inputClass?: InputClass;
}

export function ropeCase({ type, inverse = false, inputClass = 'uniform', ...sizes }: RopeCase): Case {
  const { B, T, heads, rowHeads, headSize: D } = sizes;
  const count = B * T * rowHeads * D;
  const most = FORMATS[type].largest / 4;
  const isRotated = (i: number) => Math.floor(i / D) % rowHeads < heads;
  return kernelCase({
    kernel: 'rope',
    shape: `${type}, B ${B} T ${T} heads ${heads} of ${rowHeads} size ${D}${inverse ? ', inverse' : ''}`,
    inputClass,
    inputs: { table: new Input('f32', T * D, () => Float64Array.from(ropeTable(T, D, THETA)), true) },
    outputs: { x: updated(drawn(inputClass, `x ${inputClass} ${count}`, count, { type, most })) },
    expected({ x }) {
      const rotated = reference.rope(x, B, T, rowHeads, D, THETA, inverse ? -1 : 1);
      const y = rotated.map((value, i) => (isRotated(i) ? value : x[i]!));
      const bound = storedBound(ropeBound(x, D), y, type).map((value, i) => (isRotated(i) ? value : 0));
      return { x: { reference: y, bound } };
    },
    calls: (variants, operands) => rope(variants, sizes, inverse, operands),
  });
}
