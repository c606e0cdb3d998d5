/** Softmax cross-entropy, fused with its gradient. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { rowVariant } from '../kernels/call.js';
import { crossEntropy as crossEntropyKernel } from '../kernels/rows.js';

/**
 * logits [R, V], targets [R] (IGNORED_TARGET counts for nothing) → loss of each row [R], in nats.
 * With `gradientScale` the logits are overwritten in place by their gradient times it (1/R: of the mean loss), and this
 * is where a backward walk starts: the losses are the root, no gradient arrives at them.
 */
export function crossEntropy(graph: Graph, logits: Tensor, targets: Tensor, gradientScale?: number): Tensor {
  const [rows, columns] = logits.shape as [number, number];
  expectShape('cross_entropy', 'targets', targets, [rows]);
  const withGradient = gradientScale !== undefined;
  const [losses] = graph.add({
    op: 'cross_entropy',
    inputs: [logits, targets],
    outputs: [{ shape: [rows] }, { shape: logits.shape, inPlaceOf: logits }],
    launch: (adapter, bind, [losses, dlogits]) => [
      crossEntropyKernel(rowVariant(adapter), { rows, columns }, gradientScale, {
        targets: bind(targets),
        logits: bind(dlogits!),
        losses: bind(losses!),
      }),
    ],
    backward([dlosses], _, [, dlogits]) {
      if (dlosses)
        throw new Error('cross_entropy: the losses are the root of a backward walk, but a gradient reached them');
      if (!withGradient) throw new Error('cross_entropy: traced without gradientScale, so there is no gradient');
      return [dlogits, undefined];
    },
  });
  return losses!;
}
