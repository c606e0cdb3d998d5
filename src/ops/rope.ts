/** Rotary position embedding (Su et al., 2021), in the half-split order of Hugging Face's LLaMA. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { type RopeSizes, rope as ropeKernel } from '../kernels/rows.js';

/**
 * The first `heads` heads of x [B*T, rowHeads*headSize] rotated in place by their position; table [T, headSize/2, 2]. The
 * gradient is rotated back.
 */
export function rope(graph: Graph, x: Tensor, table: Tensor, sizes: RopeSizes): Tensor {
  const { B, T, rowHeads, headSize } = sizes;
  if (headSize % 2 !== 0) throw new Error(`rope: head size ${headSize} is odd`);
  expectShape('rope', 'x', x, [B * T, rowHeads * headSize]);
  expectShape('rope', 'table', table, [T, headSize / 2, 2]);
  return rotate(graph, x, table, sizes, false, dy => [rotate(graph, dy, table, sizes, true), undefined]);
}

function rotate(
  graph: Graph,
  x: Tensor,
  table: Tensor,
  sizes: RopeSizes,
  inverse: boolean,
  rule?: (dy: Tensor) => (Tensor | undefined)[],
): Tensor {
  return graph.add({
    op: inverse ? 'rope_inverse' : 'rope',
    inputs: [x, table],
    outputs: [{ shape: x.shape, dtype: x.dtype, inPlaceOf: x }],
    launch: (kernels, bind, [y]) => ropeKernel(kernels, sizes, inverse, { table: bind(table), x: bind(y!) }),
    ...(rule && { backward: ([dy]) => rule(dy!) }),
  })[0]!;
}

/** cos and sin [T, headSize/2, 2] of t * theta^(-2i/headSize), computed in float64. */
export function ropeTable(T: number, headSize: number, theta: number): Float32Array {
  const half = headSize / 2;
  const table = new Float32Array(T * half * 2);
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < half; i++) {
      const angle = t * theta ** ((-2 * i) / headSize);
      table[2 * (t * half + i)] = Math.cos(angle);
      table[2 * (t * half + i) + 1] = Math.sin(angle);
    }
  }
  return table;
}
