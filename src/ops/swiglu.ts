/** The gated half of the MLP (SwiGLU, or GeGLU by GELU: Shazeer, 2020), with the product that feeds it. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { matmulSwiglu } from '../kernels/matmul.js';
import { type Activation, swigluBackward, swigluForward } from '../kernels/swiglu.js';
import { linearGradients } from './linear.js';

/**
 * Returns silu(x gateᵀ) * (x upᵀ) [R, F] in x's type, from x [R, K] and weight [2F, K], which holds the rows of gate,
 * then those of up. Another activation of the gate may take silu's place. It saves both products [R, 2F], side by side.
 */
export function swigluLinear(graph: Graph, x: Tensor, weight: Tensor, activation?: Activation): Tensor {
  const [R, K] = x.shape as [number, number];
  const F = weight.shape[0]! / 2;
  expectShape('swiglu', 'weight', weight, [2 * F, K]);
  const { dtype } = x;
  return graph.add({
    op: 'swiglu',
    inputs: [x, weight],
    outputs: [
      { shape: [R, 2 * F], dtype },
      { shape: [R, F], dtype },
    ],
    launch: (variants, bind, [gateUp, y]) =>
      matmulSwiglu(
        variants,
        { M: R, F, K, activation },
        { x: bind(x), weight: bind(weight), gateUp: bind(gateUp!), y: bind(y!) },
      ),
    backward([, dy], pending, [gateUp]) {
      return [linearGradients(graph, x, weight, swigluGradient(graph, gateUp!, dy!, activation), pending), undefined];
    },
  })[1]!;
}

/** Returns silu(gate) * up [R, F] in the type of gateUp [R, 2F], which holds both side by side. */
export function swiglu(graph: Graph, gateUp: Tensor, activation?: Activation): Tensor {
  const [rows, width] = gateUp.shape as [number, number];
  const columns = width / 2;
  return graph.add({
    op: 'swiglu',
    inputs: [gateUp],
    outputs: [{ shape: [rows, columns], dtype: gateUp.dtype }],
    launch: (variants, bind, [y]) =>
      swigluForward(variants, { rows, columns, activation }, { x: bind(gateUp), y: bind(y!) }),
    backward: ([dy]) => [swigluGradient(graph, gateUp, dy!, activation)],
  })[0]!;
}

/** Traces the gradient of both products [R, 2F] from that of what SwiGLU made of them. */
function swigluGradient(graph: Graph, gateUp: Tensor, dy: Tensor, activation?: Activation): Tensor {
  const [rows, columns] = dy.shape as [number, number];
  return graph.add({
    op: 'swiglu_input',
    inputs: [gateUp, dy],
    outputs: [{ shape: gateUp.shape, dtype: gateUp.dtype }],
    launch: (variants, bind, [dx]) =>
      swigluBackward(variants, { rows, columns, activation }, { x: bind(gateUp), dy: bind(dy), dx: bind(dx!) }),
  })[0]!;
}
