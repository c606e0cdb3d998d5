/** Rows of a table by number. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import { embeddingForward } from '../kernels/embedding.js';

/**
 * Returns rows [R, …] in f32 of a table [N, …] of any float type, by row numbers [R] below N. It has no gradient:
 * `embedding` is the op that is trained.
 */
export function takeRows(graph: Graph, table: Tensor, rows: Tensor): Tensor {
  const [entries, ...row] = table.shape as [number, ...number[]];
  const [count] = rows.shape as [number];
  expectShape('take_rows', 'rows', rows, [count]);
  const sizes = { rows: count, columns: sizeOf(row), entries };
  return graph.add({
    op: 'take_rows',
    inputs: [table, rows],
    outputs: [{ shape: [count, ...row] }],
    launch: (variants, bind, [y]) =>
      embeddingForward(variants, sizes, { ids: bind(rows), table: bind(table), y: bind(y!) }),
  })[0]!;
}
