/**
 * The exponential moving average of a run's weights (Polyak & Juditsky, 1992, averaged alike; with a decay it is the
 * usual one: see Busbridge et al., 2023, arXiv 2307.13813, eq. 1):
 *   average ← β_t average + (1 − β_t) weights,   β_t = min(β, (1 + t) / (10 + t))
 * after step t = 1, 2, …; it begins as the first weights. The smaller decay of the first steps, which lets go of these,
 * is that of `num_updates` in TensorFlow's `tf.train.ExponentialMovingAverage`.
 */
import type { Graph } from '../autograd/graph.js';
import { sizeOf, type Tensor } from '../autograd/tensor.js';
import { swap, weightAverage } from '../kernels/weight-average.js';
import { copyInto } from '../ops/cast.js';

/** Returns 1 − β_t. */
export const averageComplement = (decay: number, step: number): number => Math.max(1 - decay, 9 / (10 + step));

/** A stretch of weights with its average and, where it has one, its copy in f16. */
export interface AveragedWeights {
  readonly weight: Tensor;
  readonly average: Tensor;
  readonly half?: Tensor | undefined;
}

/** Traces the average's update behind that of the weights; `rate` [1] is 1 − β_t. */
export function traceAverage(
  graph: Graph,
  { weight, average }: AveragedWeights,
  { rate, health }: Record<'rate' | 'health', Tensor>,
): void {
  graph.add({
    op: 'weight_average',
    inputs: [weight, rate, health],
    outputs: [],
    updates: [average],
    launch: (variants, bind) =>
      weightAverage(variants, sizeOf(weight.shape), {
        rate: bind(rate),
        health: bind(health),
        weight: bind(weight),
        average: bind(average),
      }),
  });
}

/** Traces the exchange of weights and average; the f16 copy follows the weights. */
export function traceSwap(graph: Graph, { weight, average, half }: AveragedWeights): void {
  graph.add({
    op: 'weight_average_swap',
    inputs: [],
    outputs: [],
    updates: [weight, average],
    launch: (variants, bind) => swap(variants, sizeOf(weight.shape), { a: bind(weight), b: bind(average) }),
  });
  if (half) copyInto(graph, weight, half);
}
