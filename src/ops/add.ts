/** The sum of two tensors, where no op takes in the one. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import { accumulate } from '../kernels/add.js';

/** Adds `a` to `b` in place; the sum keeps b's type. The gradient of both is that of the sum. */
export function add(graph: Graph, a: Tensor, b: Tensor): Tensor {
  expectShape('add', 'b', b, a.shape);
  return graph.add({
    op: 'add',
    inputs: [a, b],
    outputs: [{ shape: b.shape, dtype: b.dtype, inPlaceOf: b }],
    launch: (variants, bind, [y]) => accumulate(variants, sizeOf(a.shape), { a: bind(a), y: bind(y!) }),
    backward: ([dy]) => [dy, dy],
  })[0]!;
}
