/** SwiGLU's elementwise part (Shazeer, 2020). */
import type { Graph } from '../autograd/graph.js';
import type { Tensor } from '../autograd/tensor.js';
import { swigluBackward, swigluForward } from '../kernels/rows.js';

/** x [R, 2F], gate and up side by side → silu(gate) * up [R, F]. */
export function swiglu(graph: Graph, x: Tensor): Tensor {
  const [rows, width] = x.shape as [number, number];
  if (width % 2 !== 0) throw new Error(`swiglu: '${x.name}' has ${width} columns, which are not gate and up`);
  const sizes = { rows, columns: width / 2 };
  const { dtype } = x;
  return graph.add({
    op: 'swiglu',
    inputs: [x],
    outputs: [{ shape: [rows, sizes.columns], dtype }],
    launch: (kernels, bind, [y]) => swigluForward(kernels, sizes, { x: bind(x), y: bind(y!) }),
    backward([dy]) {
      return graph.add({
        op: 'swiglu_input',
        inputs: [x, dy!],
        outputs: [{ shape: x.shape, dtype }],
        launch: (kernels, bind, [dx]) => swigluBackward(kernels, sizes, { x: bind(x), dy: bind(dy!), dx: bind(dx!) }),
      });
    },
  })[0]!;
}
