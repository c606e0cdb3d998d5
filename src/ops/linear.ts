/** y = x Wᵀ (+ residual): the projections of the model, without bias. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { type MatmulForm, matmul, matmulVariant } from '../kernels/matmul.js';

/**
 * x [R, K], weight [N, K] → y [R, N], plus `residual` [R, N] where given, which costs no pass of its own.
 * Its gradients: dx = dy W (+ what x has from elsewhere), dW += dyᵀ x, dresidual = dy.
 */
export function linear(graph: Graph, x: Tensor, weight: Tensor, residual?: Tensor): Tensor {
  const [R, K] = x.shape as [number, number];
  const [N] = weight.shape as [number];
  expectShape('linear', 'weight', weight, [N, K]);
  if (residual) expectShape('linear', 'residual', residual, [R, N]);
  const y = product(graph, 'linear', 'NT', x, weight, [R, N, K], residual, (dy, pending) => {
    const dx = product(graph, 'linear_input', 'NN', dy, weight, [R, K, N], pending.take(x));
    if (weight.gradient) accumulateProduct(graph, dy, x, weight.gradient, [N, K, R]);
    return residual ? [dx, undefined, dy] : [dx, undefined];
  });
  return y;
}

type Rule = (dy: Tensor, pending: { take(input: Tensor): Tensor | undefined }) => (Tensor | undefined)[];

function product(
  graph: Graph,
  op: string,
  form: MatmulForm,
  a: Tensor,
  b: Tensor,
  [M, N, K]: readonly [number, number, number],
  addend?: Tensor,
  rule?: Rule,
): Tensor {
  return graph.add({
    op,
    inputs: addend ? [a, b, addend] : [a, b],
    outputs: [{ shape: [M, N] }],
    launch: (adapter, bind, [c]) => [
      matmul(
        matmulVariant(adapter),
        { form, M, N, K },
        { a: bind(a), b: bind(b), c: bind(c!), addend: addend && bind(addend) },
      ),
    ],
    ...(rule && { backward: ([dy], pending) => rule(dy!, pending) }),
  })[0]!;
}

/** gradient [M, N] += aᵀ b;  a [K, M], b [K, N]. */
function accumulateProduct(
  graph: Graph,
  a: Tensor,
  b: Tensor,
  gradient: Tensor,
  [M, N, K]: readonly [number, number, number],
): void {
  graph.add({
    op: 'linear_weight',
    inputs: [a, b],
    outputs: [],
    updates: [gradient],
    launch: (adapter, bind) => [
      matmul(
        matmulVariant(adapter),
        { form: 'TN', M, N, K },
        { a: bind(a), b: bind(b), c: bind(gradient), addend: 'c' },
      ),
    ],
  });
}
