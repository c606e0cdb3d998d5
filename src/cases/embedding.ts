/** Rows of a table by id, and the sum of gradients back into it. */
import { embeddingBackward, embeddingForward } from '../kernels/embedding.js';
import type { RowSizes } from '../kernels/row-variant.js';
import { columnSumBound, flushedValues, storedBound } from '../numerics/bounds.js';
import { FORMATS, type Format, type InputClass, inputValues, type StoredType } from '../numerics/inputs.js';
import * as reference from '../numerics/reference.js';
import { groupRowsById } from '../ops/embedding.js';
import { type Case, drawn, kernelCase, updated, words } from './case.js';

export interface EmbeddingCase extends RowSizes {
  readonly entries: number;
  readonly inputClass?: InputClass;
}

function idsOf({ rows, entries }: EmbeddingCase, label: string): Uint32Array {
  const uniform = inputValues('uniform', `ids ${label}`, rows, { low: 0, high: entries });
  return Uint32Array.from(uniform, id => Math.min(id, entries - 1));
}

export function embeddingForwardCase(given: EmbeddingCase & { readonly type?: Format }): Case {
  const { rows: R, entries: V, columns: C, inputClass = 'uniform', type = 'f32' } = given;
  const label = `${inputClass} ${R} ${V} ${C}`;
  return kernelCase({
    kernel: 'embedding_forward',
    shape: `${type === 'f32' ? '' : `${type}, `}${R} rows of ${V} x ${C}`,
    inputClass,
    inputs: {
      ids: words(R, () => idsOf(given, label)),
      table: drawn(inputClass, `table ${label}`, V * C, { type, most: FORMATS[type].largest / R / 2 }),
    },
    outputs: { y: { type: 'f32', count: R * C } },
    expected({ ids, table }) {
      const y = reference.embedding(table, ids, C);
      // the others are widened by bits
      const bound = type === 'f16' ? flushedValues(y, type) : new Float64Array(R * C);
      return { y: { reference: y, bound } };
    },
    calls: (variants, operands) => embeddingForward(variants, { rows: R, columns: C, entries: V }, operands),
  });
}

export function embeddingBackwardCase(given: EmbeddingCase & { readonly type?: StoredType }): Case {
  const { rows: R, entries: V, columns: C, inputClass = 'uniform', type = 'f32' } = given;
  const label = `${inputClass} ${R} ${V} ${C}`;
  const ids = words(R, () => idsOf(given, label));
  const groups = () => groupRowsById(Uint32Array.from(ids.values));
  return kernelCase({
    kernel: 'embedding_backward',
    shape: `${type === 'f32' ? '' : `${type}, `}${R} rows of ${V} x ${C}`,
    inputClass,
    inputs: {
      ids,
      order: words(R, () => groups().order),
      starts: words(R + 1, () => groups().starts),
      dy: drawn(inputClass, `dy ${label}`, R * C, { most: FORMATS[type].largest / R / 2 }),
    },
    outputs: { dtable: updated(drawn('uniform', `dtable ${label}`, V * C, { type })) },
    expected({ ids, dy, dtable: before }) {
      const sum = reference.embeddingBackward(dy, ids, V, C).map((value, i) => value + before[i]!);
      const magnitudes = reference.embeddingBackward(dy.map(Math.abs), ids, V, C);
      const bound = columnSumBound(
        magnitudes.map((value, i) => value + Math.abs(before[i]!)),
        R,
      );
      const isAdded = magnitudes.map(value => (value === 0 ? 0 : 1)); // other rows are left alone
      // what halves held before may be taken for 0 where it is subnormal
      const flushed = type === 'f16' ? flushedValues(before, type) : new Float64Array(V * C);
      const all = storedBound(
        bound.map((value, i) => value + flushed[i]!),
        sum,
        type,
      );
      return { dtable: { reference: sum, bound: all.map((value, i) => value * isAdded[i]!) } };
    },
    calls: (variants, operands) => embeddingBackward(variants, { rows: R, columns: C, entries: V }, operands),
  });
}
