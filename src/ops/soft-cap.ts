/** The soft cap of logits (Gemma 2). It has no gradient of its own: that of capped logits is made with their loss. */
import type { Graph } from '../autograd/graph.js';
import { sizeOf, type Tensor } from '../autograd/tensor.js';
import { softCapInPlace } from '../kernels/soft-cap.js';

/** Returns cap · tanh(x / cap), in x's place. */
export function softCap(graph: Graph, x: Tensor, cap: number): Tensor {
  return graph.add({
    op: 'soft_cap',
    inputs: [x],
    outputs: [{ shape: x.shape, dtype: x.dtype, inPlaceOf: x }],
    launch: (variants, bind, [y]) => softCapInPlace(variants, sizeOf(x.shape), { x: bind(y!) }, cap),
  })[0]!;
}
