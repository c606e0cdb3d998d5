/** Rotary embedding, in place, and the rotation back. */
import { type RopeSizes, rope } from '../kernels/rope.js';
import { ropeBound, storedBound } from '../numerics/bounds.js';
import { FORMATS, type InputClass, type StoredType } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { ropeTable } from '../ops/rope.js';
import { type Case, drawn, Input, kernelCase, updated } from './case.js';
import { beginsInput, documentsOf, partOf, showDocuments } from './documents.js';

const THETA = 10_000;

export interface RopeCase extends RopeSizes {
  readonly type: StoredType;
  readonly inverse?: boolean;
  readonly inputClass?: InputClass;
  /** Lengths of documents, over and over, within which positions count. */
  readonly documents?: readonly number[];
}

export function ropeCase(given: RopeCase): Case {
  const { type, inverse = false, inputClass = 'uniform', documents: lengths, ...sizes } = given;
  const { B, T, heads, rowHeads, headSize: D } = sizes;
  const count = B * T * rowHeads * D;
  const most = FORMATS[type].largest / 4;
  const documents = documentsOf(sizes, lengths ?? [T]);
  const isRotated = (i: number) => Math.floor(i / D) % rowHeads < heads;
  return kernelCase({
    kernel: 'rope',
    shape:
      `${type}, B ${B} T ${T} heads ${heads} of ${rowHeads} size ${D}` +
      `${showDocuments(lengths)}${inverse ? ', inverse' : ''}`,
    inputClass,
    inputs: {
      table: new Input('f32', T * D, () => Float64Array.from(ropeTable(T, D, THETA)), true),
      ...(lengths && { documents: beginsInput(documents, sizes) }),
    },
    outputs: { x: updated(drawn(inputClass, `x ${inputClass} ${count}`, count, { type, most })) },
    expected({ x }) {
      const rotated = new Float64Array(count);
      for (const document of documents) {
        const part = partOf(x, document, rowHeads * D);
        const alone = reference.rope(part, 1, document.length, rowHeads, D, THETA, inverse ? -1 : 1);
        rotated.set(alone, document.first * rowHeads * D);
      }
      const y = rotated.map((value, i) => (isRotated(i) ? value : x[i]!));
      const bound = storedBound(ropeBound(x, D), y, type).map((value, i) => (isRotated(i) ? value : 0));
      return { x: { reference: y, bound } };
    },
    calls: (variants, operands) => rope(variants, sizes, inverse, operands),
  });
}
