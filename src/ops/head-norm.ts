/** RMSNorm over each head of queries and keys (QK-norm: Henry et al., 2020; with learned scales, as in Qwen3). */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import type { AttentionSizes } from '../kernels/attention-variant.js';
import { headNormBackward, headNormForward, headNormParts } from '../kernels/head-norm.js';

/**
 * Norms the queries and keys of qkv [R, (H + 2 KV)*D] in place, head by head, with weights [D]; values stay. It saves
 * qkv as it was and 1/sqrt(…) of each head for the gradient; the gradients of the weights accumulate.
 */
export function headNorm(
  graph: Graph,
  qkv: Tensor,
  weights: Readonly<Record<'query' | 'key', Tensor>>,
  { H, KV, D }: Pick<AttentionSizes, 'H' | 'KV' | 'D'>,
  eps: number,
): Tensor {
  const [rows] = qkv.shape as [number];
  const { dtype } = qkv;
  const rowHeads = H + 2 * KV;
  expectShape('head_norm', 'qkv', qkv, [rows, rowHeads * D]);
  const inRows = { rows, rowHeads, headSize: D };
  const kinds = [
    { weight: weights.query, sizes: { ...inRows, heads: H, firstHead: 0 } },
    { weight: weights.key, sizes: { ...inRows, heads: KV, firstHead: H } },
  ];
  for (const { weight } of kinds) expectShape('head_norm', 'weight', weight, [D]);
  return graph.add({
    op: 'head_norm',
    inputs: [qkv, weights.query, weights.key],
    outputs: [{ shape: qkv.shape, dtype, inPlaceOf: qkv }, { shape: [rows, H] }, { shape: [rows, KV] }],
    launch: (variants, bind, [y, ...rstds]) =>
      kinds.flatMap(({ weight, sizes }, i) =>
        headNormForward(variants, { ...sizes, eps }, { weight: bind(weight), x: bind(y!), rstd: bind(rstds[i]!) }),
      ),
    backward([dy], _, [, ...rstds]) {
      const updates = kinds.flatMap(({ weight: { gradient } }) => gradient ?? []);
      // keys take over the scratch of queries, since there are no more keys than queries
      const scratch = headNormParts(kinds[0]!.sizes);
      const [dx] = graph.add({
        op: 'head_norm_backward',
        inputs: [qkv, weights.query, weights.key, ...rstds, dy!],
        outputs: [
          { shape: qkv.shape, dtype, inPlaceOf: dy! },
          ...(updates.length > 0 ? [{ shape: [scratch.partial, D] }, { shape: [scratch.sums, D] }] : []),
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
