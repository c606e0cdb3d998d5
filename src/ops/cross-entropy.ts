/** Softmax cross-entropy, fused with its gradient. */
import type { Graph } from '../autograd/graph.js';
import { type DType, expectShape, type Tensor } from '../autograd/tensor.js';
import { crossEntropy as crossEntropyKernel } from '../kernels/rows.js';

/** The gradient that cross-entropy makes along with the losses. */
export interface LossGradient {
  /** Factor of the gradient: 1/R is that of the mean loss. */
  readonly scale: number;
  /** Type of the logits' gradient; f32 takes the place of the logits. */
  readonly dtype?: DType;
  /** [1], a further factor that is read on the device: the loss scale of f16 training. */
  readonly lossScale?: Tensor | undefined;
}

/**
 * logits [R, V] in f32, targets [R] (IGNORED_TARGET counts for nothing) → loss of each row [R], in nats.
 * With `gradient` the logits' gradient is made too, and this is where a backward walk starts: the losses are the root, no
 * gradient arrives at them.
 */
export function crossEntropy(graph: Graph, logits: Tensor, targets: Tensor, gradient?: LossGradient): Tensor {
  const [rows, columns] = logits.shape as [number, number];
  expectShape('cross_entropy', 'targets', targets, [rows]);
  const { lossScale, dtype = 'f32' } = gradient ?? {};
  const isSeparate = dtype !== 'f32';
  const [losses] = graph.add({
    op: 'cross_entropy',
    inputs: lossScale ? [logits, targets, lossScale] : [logits, targets],
    outputs: [
      { shape: [rows] },
      isSeparate ? { shape: logits.shape, dtype } : { shape: logits.shape, inPlaceOf: logits },
    ],
    launch: (kernels, bind, [losses, dlogits]) =>
      crossEntropyKernel(
        kernels,
        { rows, columns },
        gradient && {
          scale: gradient.scale,
          dlogits: isSeparate ? bind(dlogits!) : undefined,
          lossScale: lossScale && bind(lossScale),
        },
        { targets: bind(targets), logits: bind(isSeparate ? logits : dlogits!), losses: bind(losses!) },
      ),
    backward([dlosses], _, [, dlogits]) {
      if (dlosses)
        throw new Error('cross_entropy: the losses are the root of a backward walk, but a gradient reached them');
      if (!gradient) throw new Error('cross_entropy: traced without a gradient');
      return [dlogits, undefined];
    },
  });
  return losses!;
}
