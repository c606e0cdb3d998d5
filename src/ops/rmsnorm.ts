/** RMSNorm with a learned scale (Zhang & Sennrich, 2019). */
import type { Graph } from '../autograd/graph.js';
import { type DType, expectShape, type Tensor } from '../autograd/tensor.js';
import { rmsnormBackward, rmsnormForward, rmsnormParts } from '../kernels/rmsnorm.js';

/** How an RMSNorm is computed: `unitOffset` is for weights that are meant as 1 + weight. */
export interface NormOptions {
  readonly eps: number;
  readonly unitOffset?: boolean | undefined;
}

/**
 * Returns y [R, C] = x / sqrt(mean(x²) + eps) * weight in the type `dtype`, from x [R, C] and weight [C]. The options
 * are eps alone, or with `unitOffset`, by which 1 + weight takes the weight's place. It saves 1/sqrt(…) [R] for the
 * gradient, which takes in what x has from elsewhere (the residual stream); dweight accumulates.
 */
export function rmsnorm(
  graph: Graph,
  x: Tensor,
  weight: Tensor,
  options: number | NormOptions,
  dtype: DType = 'f32',
): Tensor {
  const { eps, unitOffset = false } = typeof options === 'number' ? { eps: options } : options;
  const [rows, columns] = x.shape as [number, number];
  expectShape('rmsnorm', 'weight', weight, [columns]);
  const sizes = { rows, columns, unitOffset };
  const [y] = graph.add({
    op: 'rmsnorm',
    inputs: [x, weight],
    outputs: [{ shape: x.shape, dtype }, { shape: [rows] }],
    launch: (variants, bind, [y, rstd]) =>
      rmsnormForward(variants, { ...sizes, eps }, { x: bind(x), weight: bind(weight), y: bind(y!), rstd: bind(rstd!) }),
    backward([dy], pending, [, rstd]) {
      const addend = pending.take(x);
      const { gradient } = weight;
      const inputs = [x, weight, rstd!, dy!];
      const [dx] = graph.add({
        op: 'rmsnorm_backward',
        inputs: addend ? [...inputs, addend] : inputs,
        outputs: [{ shape: x.shape }, ...(gradient ? [{ shape: [rmsnormParts(rows), columns] }] : [])],
        updates: gradient ? [gradient] : [],
        launch: (variants, bind, [dx, partial]) =>
          rmsnormBackward(variants, sizes, {
            x: bind(x),
            weight: bind(weight),
            rstd: bind(rstd!),
            dy: bind(dy!),
            addend: addend && bind(addend),
            dx: bind(dx!),
            dweight: gradient && { partial: bind(partial!), total: bind(gradient) },
          }),
      });
      return [dx, undefined];
    },
  });
  return y!;
}
