/** RMSNorm of queries and keys (QK-norm: Henry et al., 2020; with learned scales, as in Qwen3 and OLMo 2). */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import type { AttentionSizes } from '../kernels/attention-variant.js';
import { headNormBackward, headNormForward, headNormParts } from '../kernels/head-norm.js';
import type { NormOptions } from './rmsnorm.js';

/** What is normed at once: each head, or all of a row's queries, and all of its keys. */
export type QkNormOver = 'head' | 'projection';

/**
 * Norms the queries and keys of qkv [R, (H + 2 KV)*D] in place, head by head with weights [D], or over the projections
 * with weights [H*D] and [KV*D]; values stay. It saves qkv as it was and 1/sqrt(…) of what is normed for the gradient;
 * the gradients of the weights accumulate.
 */
export function headNorm(
  graph: Graph,
  qkv: Tensor,
  weights: Readonly<Record<'query' | 'key', Tensor>>,
  { H, KV, D }: Pick<AttentionSizes, 'H' | 'KV' | 'D'>,
  { eps, unitOffset = false }: NormOptions,
  over: QkNormOver = 'head',
): Tensor {
  const [rows] = qkv.shape as [number];
  const { dtype } = qkv;
  const rowSize = (H + 2 * KV) * D;
  expectShape('head_norm', 'qkv', qkv, [rows, rowSize]);
  const normed = (count: number) =>
    over === 'head' ? { heads: count, headSize: D, unitOffset } : { heads: 1, headSize: count * D, unitOffset };
  const kinds = [
    { weight: weights.query, sizes: { ...normed(H), rows, rowSize, offset: 0 } },
    { weight: weights.key, sizes: { ...normed(KV), rows, rowSize, offset: H * D } },
  ] as const;
  for (const { weight, sizes } of kinds) expectShape('head_norm', 'weight', weight, [sizes.headSize]);
  return graph.add({
    op: 'head_norm',
    inputs: [qkv, weights.query, weights.key],
    outputs: [
      { shape: qkv.shape, dtype, inPlaceOf: qkv },
      ...kinds.map(({ sizes }) => ({ shape: [rows, sizes.heads] })),
    ],
    launch: (variants, bind, [y, ...rstds]) =>
      kinds.flatMap(({ weight, sizes }, i) =>
        headNormForward(variants, { ...sizes, eps }, { weight: bind(weight), x: bind(y!), rstd: bind(rstds[i]!) }),
      ),
    backward([dy], _, [, ...rstds]) {
      const updates = kinds.flatMap(({ weight: { gradient } }) => gradient ?? []);
      // keys take over the scratch of queries, since there are no more keys than queries
      const { sizes } = kinds[0];
      const scratch = headNormParts(sizes);
      const [dx] = graph.add({
        op: 'head_norm_backward',
        inputs: [qkv, weights.query, weights.key, ...rstds, dy!],
        outputs: [
          { shape: qkv.shape, dtype, inPlaceOf: dy! },
          ...(updates.length > 0
            ? [scratch.partial, scratch.sums].map(count => ({ shape: [count, sizes.headSize] }))
            : []),
        ],
        updates,
        launch: (variants, bind, [dx, partial, sums]) =>
          kinds.flatMap(({ weight, sizes }, i) => {
            const { gradient } = weight;
            return headNormBackward(variants, sizes, {
              weight: bind(weight),
              x: bind(qkv),
              rstd: bind(rstds[i]!),
              dx: bind(dx!),
              dweight: gradient && { partial: bind(partial!), sums: bind(sums!), total: bind(gradient) },
            });
          }),
      });
      return [dx, undefined, undefined];
    },
  })[0]!;
}
