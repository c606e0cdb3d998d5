/** Sums that live on the device. */
import type { Graph } from '../autograd/graph.js';
import { sizeOf, type Tensor } from '../autograd/tensor.js';
import { sum } from '../kernels/sum.js';

/** Traces total [1] += scale * the sum of all values. It has no gradient: it reports. */
export function addSum(graph: Graph, values: Tensor, scale: number, total: Tensor): void {
  graph.add({
    op: 'sum',
    inputs: [values],
    outputs: [],
    updates: [total],
    launch: (variants, bind) =>
      sum(variants, sizeOf(values.shape), scale, { values: bind(values), total: bind(total) }),
  });
}
