/** What a low-rank adapter adds to a projection (LoRA: Hu et al., 2021, arXiv 2106.09685). */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { cast } from '../kernels/cast.js';
import { matmul } from '../kernels/matmul.js';
import { accumulateProduct, linearGradients } from './linear.js';

/** An adapter of N rows of a projection, which follow `first` others. */
export interface LowRank {
  /** [r, K] */
  readonly a: Tensor;
  /** [N, r] */
  readonly b: Tensor;
  readonly first: number;
  readonly scale: number;
}

/**
 * Adds scale·(x Aᵀ) Bᵀ to N columns of y in place, from `first` on; x is [R, K], y has R rows, and keeps its type.
 * Between the products it is [R, r]: scaled in f32, then in x's type. The gradients: dy as it is, dx in x's type, and
 * those that are added to the gradients of A and B.
 */
export function addLowRank(graph: Graph, y: Tensor, x: Tensor, { a, b, first, scale }: LowRank): Tensor {
  const [R, K] = x.shape as [number, number];
  const [, width] = y.shape as [number, number];
  const [N, r] = b.shape as [number, number];
  expectShape('low_rank', 'A', a, [r, K]);
  expectShape('low_rank', 'y', y, [R, width]);
  const narrow = { shape: [R, r], dtype: x.dtype };
  const sums = { shape: [R, r] };
  return graph.add({
    op: 'low_rank',
    inputs: [y, x, a, b],
    outputs: [{ shape: y.shape, dtype: y.dtype, inPlaceOf: y }, narrow, sums],
    launch(variants, bind, [sum, scaled, products]) {
      const [c, down, up] = [bind(products!), { a: bind(x), b: bind(a) }, { a: bind(scaled!), b: bind(b) }];
      const columns = { of: 'c', first, width } as const;
      return [
        ...matmul(variants, { form: 'NT', M: R, N: r, K }, { ...down, c }),
        ...cast(variants, R * r, { x: c, y: bind(scaled!) }, scale),
        ...matmul(variants, { form: 'NT', M: R, N, K: r }, { ...up, c: bind(sum!), addend: 'c', columns }),
      ];
    },
    backward([dy], pending, [, scaled]) {
      const columns = { of: 'a', first, width } as const;
      const [dnarrow] = graph.add({
        op: 'low_rank_input',
        inputs: [dy!, b],
        outputs: [narrow, sums],
        launch(variants, bind, [dx, products]) {
          const c = bind(products!);
          return [
            ...matmul(variants, { form: 'NN', M: R, N: r, K: N }, { a: bind(dy!), b: bind(b), c, columns }),
            ...cast(variants, R * r, { x: c, y: bind(dx!) }, scale),
          ];
        },
      });
      if (b.gradient) accumulateProduct(graph, dy!, scaled!, b.gradient, [N, r, R], columns);
      return [dy, linearGradients(graph, x, a, dnarrow!, pending), undefined, undefined];
    },
  })[0]!;
}
