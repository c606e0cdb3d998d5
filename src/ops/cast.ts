/** Copies of a tensor in another type. */
import type { Graph } from '../autograd/graph.js';
import { sizeOf, type Tensor } from '../autograd/tensor.js';
import { cast } from '../kernels/cast.js';

/** Overwrites `y` with x, rounded to y's type. It has no gradient: it keeps copies in step. */
export function copyInto(graph: Graph, x: Tensor, y: Tensor): void {
  graph.add({
    op: 'cast',
    inputs: [x],
    outputs: [],
    updates: [y],
    launch: (variants, bind) => cast(variants, sizeOf(x.shape), { x: bind(x), y: bind(y) }),
  });
}
