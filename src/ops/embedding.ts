/** Looks up rows of a table by id, and scatters their gradients back deterministically. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { embeddingBackward, embeddingForward } from '../kernels/embedding.js';

/** Row ids [R] with their grouping (see `groupRowsById`): order [R], starts [R+1]. */
export interface TokenRows {
  readonly ids: Tensor;
  readonly order: Tensor;
  readonly starts: Tensor;
}

/**
 * Returns the rows [R, C] of a table [V, C] of any float type. dtable accumulates: one workgroup adds to each row of
 * the table, in order.
 */
export function embedding(graph: Graph, table: Tensor, { ids, order, starts }: TokenRows): Tensor {
  const [rows] = ids.shape as [number];
  const [entries, columns] = table.shape as [number, number];
  const sizes = { rows, columns, entries };
  expectShape('embedding', 'order', order, [rows]);
  expectShape('embedding', 'starts', starts, [rows + 1]);
  return graph.add({
    op: 'embedding',
    inputs: [ids, table],
    outputs: [{ shape: [rows, columns] }],
    launch: (variants, bind, [y]) =>
      embeddingForward(variants, sizes, { ids: bind(ids), table: bind(table), y: bind(y!) }),
    backward([dy]) {
      const { gradient } = table;
      if (!gradient) return [undefined, undefined];
      graph.add({
        op: 'embedding_table',
        inputs: [ids, order, starts, dy!],
        outputs: [],
        updates: [gradient],
        launch: (variants, bind) =>
          embeddingBackward(variants, sizes, {
            ids: bind(ids),
            order: bind(order),
            starts: bind(starts),
            dy: bind(dy!),
            dtable: bind(gradient),
          }),
      });
      return [undefined, undefined];
    },
  })[0]!;
}

/**
 * Sorts row numbers by id (stable), for the scatter. It returns order [R] and starts [R+1]: group s is order[starts[s]
 * … starts[s+1]-1]. Groups beyond the number of distinct ids are empty.
 */
export function groupRowsById(ids: Uint32Array): { order: Uint32Array; starts: Uint32Array } {
  const rows = ids.length;
  // id and row are one exact float64 (ids and rows are below 2^32 and 2^20 or so): a typed array sorts without a
  // callback
  const keys = Float64Array.from(ids, (id, row) => id * rows + row).sort();
  const order = Uint32Array.from(keys, key => key % rows);
  const starts = new Uint32Array(rows + 1).fill(rows);
  let groups = 0;
  for (let i = 0; i < rows; i++) {
    if (i === 0 || ids[order[i]!] !== ids[order[i - 1]!]) starts[groups++] = i;
  }
  return { order, starts };
}
