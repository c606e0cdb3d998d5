/** SwiGLU's elementwise part (Shazeer, 2020). */
import type { Graph } from '../autograd/graph.js';
import { expectShape, sizeOf, type Tensor } from '../autograd/tensor.js';
import { swigluBackward, swigluForward } from '../kernels/elementwise.js';

/** gate, up [R, F] → silu(gate) * up [R, F]. */
export function swiglu(graph: Graph, gate: Tensor, up: Tensor): Tensor {
  expectShape('swiglu', 'up', up, gate.shape);
  const count = sizeOf(gate.shape);
  return graph.add({
    op: 'swiglu',
    inputs: [gate, up],
    outputs: [{ shape: gate.shape }],
    launch: (_, bind, [y]) => [swigluForward(count, { gate: bind(gate), up: bind(up), y: bind(y!) })],
    backward([dy]) {
      return graph.add({
        op: 'swiglu_inputs',
        inputs: [gate, up, dy!],
        outputs: [{ shape: gate.shape }, { shape: up.shape }],
        launch: (_, bind, [dgate, dup]) => [
          swigluBackward(count, {
            gate: bind(gate),
            up: bind(up),
            dy: bind(dy!),
            dgate: bind(dgate!),
            dup: bind(dup!),
          }),
        ],
      });
    },
  })[0]!;
}
