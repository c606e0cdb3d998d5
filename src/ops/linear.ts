/** The projections of the model, without bias: y = x Wᵀ (+ residual). */
import type { Graph, PendingGradients } from '../autograd/graph.js';
import { type DType, expectShape, type Tensor } from '../autograd/tensor.js';
import { type MatmulOperands, matmul } from '../kernels/matmul.js';
import type { MatmulForm } from '../kernels/matmul-variant.js';

export interface LinearOptions {
  /** A tensor that is added to y, in a pass that is made anyway; y takes its type. */
  readonly residual?: Tensor | undefined;
  /** The type of y where there is no residual; by default that of x. */
  readonly dtype?: DType | undefined;
}

/**
 * Returns y [R, N] from x [R, K] and weight [N, K]. The gradients: dx = dy W in x's type (+ what x has from elsewhere),
 * dW += dyᵀ x in the type that it is kept in, dresidual = dy.
 */
export function linear(graph: Graph, x: Tensor, weight: Tensor, { residual, dtype }: LinearOptions = {}): Tensor {
  const [R, K] = x.shape as [number, number];
  const [N] = weight.shape as [number];
  expectShape('linear', 'weight', weight, [N, K]);
  if (residual) expectShape('linear', 'residual', residual, [R, N]);
  const forward = { op: 'linear', form: 'NT', sizes: [R, N, K], dtype: residual?.dtype ?? dtype ?? x.dtype } as const;
  return product(graph, forward, x, weight, residual, (dy, pending) => {
    const dx = linearGradients(graph, x, weight, dy, pending);
    return residual ? [dx, undefined, dy] : [dx, undefined];
  });
}

/** Traces the gradients of x Wᵀ for dy [R, N]: it returns dx [R, K], and adds dW [N, K] to the weight's gradient. */
export function linearGradients(
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  dy: Tensor,
  pending: Pick<PendingGradients, 'take'>,
): Tensor {
  const [R, K] = x.shape as [number, number];
  const [N] = weight.shape as [number];
  const backward = { op: 'linear_input', form: 'NN', sizes: [R, K, N], dtype: x.dtype } as const;
  const dx = product(graph, backward, dy, weight, pending.take(x));
  if (weight.gradient) accumulateProduct(graph, dy, x, weight.gradient, [N, K, R]);
  return dx;
}

type Rule = (dy: Tensor, pending: PendingGradients) => (Tensor | undefined)[];

interface Product {
  readonly op: string;
  readonly form: MatmulForm;
  readonly sizes: readonly [M: number, N: number, K: number];
  readonly dtype: DType;
}

function product(
  graph: Graph,
  { op, form, sizes: [M, N, K], dtype }: Product,
  a: Tensor,
  b: Tensor,
  addend?: Tensor,
  rule?: Rule,
): Tensor {
  return graph.add({
    op,
    inputs: addend ? [a, b, addend] : [a, b],
    outputs: [{ shape: [M, N], dtype }],
    launch: (variants, bind, [c]) =>
      matmul(variants, { form, M, N, K }, { a: bind(a), b: bind(b), c: bind(c!), addend: addend && bind(addend) }),
    ...(rule && { backward: ([dy], pending) => rule(dy!, pending) }),
  })[0]!;
}

/** Traces gradient [M, N] += aᵀ b; a is [K, M], or `columns` of it, b [K, N]. */
export function accumulateProduct(
  graph: Graph,
  a: Tensor,
  b: Tensor,
  gradient: Tensor,
  [M, N, K]: readonly [number, number, number],
  columns?: MatmulOperands['columns'],
): void {
  graph.add({
    op: 'linear_weight',
    inputs: [a, b],
    outputs: [],
    updates: [gradient],
    launch: (variants, bind) =>
      matmul(variants, { form: 'TN', M, N, K }, { a: bind(a), b: bind(b), c: bind(gradient), addend: 'c', columns }),
  });
}
