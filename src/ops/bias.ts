/** The bias of a projection, added to all rows. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { addBias as addBiasKernel } from '../kernels/add-bias.js';
import { columnSumParts, columnSums } from '../kernels/sum-rows.js';

/** Adds bias [N] to x [R, N] in place; x keeps its type. The gradients: dx = dy, dbias += the sums of dy's columns. */
export function addBias(graph: Graph, x: Tensor, bias: Tensor): Tensor {
  const [rows, columns] = x.shape as [number, number];
  expectShape('add_bias', 'bias', bias, [columns]);
  const sizes = { rows, columns };
  return graph.add({
    op: 'add_bias',
    inputs: [x, bias],
    outputs: [{ shape: x.shape, dtype: x.dtype, inPlaceOf: x }],
    launch: (variants, bind, [y]) => addBiasKernel(variants, sizes, { bias: bind(bias), x: bind(y!) }),
    backward([dy]) {
      const { gradient } = bias;
      if (gradient) {
        graph.add({
          op: 'bias_gradient',
          inputs: [dy!],
          outputs: [{ shape: [columnSumParts(rows), columns] }],
          updates: [gradient],
          launch: (variants, bind, [partial]) =>
            columnSums(variants, sizes, { values: bind(dy!), partial: bind(partial!), total: bind(gradient) }),
        });
      }
      return [dy, undefined];
    },
  })[0]!;
}
