/** A tensor times a number. */
import type { Graph } from '../autograd/graph.js';
import { sizeOf, type Tensor } from '../autograd/tensor.js';
import { cast } from '../kernels/cast.js';

/** Returns x times `factor`, in x's type; dx is dy times it. */
export function scale(graph: Graph, x: Tensor, factor: number): Tensor {
  return graph.add({
    op: 'scale',
    inputs: [x],
    outputs: [{ shape: x.shape, dtype: x.dtype }],
    launch: (variants, bind, [y]) => cast(variants, sizeOf(x.shape), { x: bind(x), y: bind(y!) }, factor),
    backward: ([dy]) => [scale(graph, dy!, factor)],
  })[0]!;
}
