/** Copies of a tensor in another type. */
import type { Graph } from '../autograd/graph.js';
import { type DType, sizeOf, type Tensor } from '../autograd/tensor.js';
import { cast as castKernel } from '../kernels/cast.js';

/** Overwrites `y` with x, rounded to y's type. It has no gradient: it keeps copies in step. */
export function copyInto(graph: Graph, x: Tensor, y: Tensor): void {
  graph.add({
    op: 'cast',
    inputs: [x],
    outputs: [],
    updates: [y],
    launch: (variants, bind) => castKernel(variants, sizeOf(x.shape), { x: bind(x), y: bind(y) }),
  });
}

/** Returns x rounded to a type; where x has it, x itself. The gradient has x's type. */
export function cast(graph: Graph, x: Tensor, dtype: DType): Tensor {
  if (x.dtype === dtype) return x;
  return graph.add({
    op: 'cast',
    inputs: [x],
    outputs: [{ shape: x.shape, dtype }],
    launch: (variants, bind, [y]) => castKernel(variants, sizeOf(x.shape), { x: bind(x), y: bind(y!) }),
    backward: ([dy]) => [cast(graph, dy!, x.dtype)],
  })[0]!;
}
