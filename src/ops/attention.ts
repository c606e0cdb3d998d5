/** Causal attention with grouped-query heads, without the T×T matrix in memory (Dao et al., 2022). */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { attentionBackwardKeyValue, attentionBackwardQuery, attentionForward } from '../kernels/attention.js';
import type { AttentionSizes } from '../kernels/attention-variant.js';

/**
 * Returns the attention of qkv [B*T, (H + 2 KV)*D], which holds queries, keys and values side by side: out [B*T, H*D].
 * With `documents` [B*T], where the document of each row begins in its sequence, rows see their own document alone: in
 * f32 to the bits of a sequence that has only this document. It saves out and the log-sum-exp of each row [B, H, T].
 * The gradient recomputes the probabilities, in one pass for dq and one for dk and dv.
 */
export function attention(graph: Graph, qkv: Tensor, sizes: AttentionSizes, documents?: Tensor): Tensor {
  const { B, T, H, KV, D } = sizes;
  if (H % KV !== 0) throw new Error(`attention: ${H} query heads cannot share ${KV} key/value heads`);
  expectShape('attention', 'qkv', qkv, [B * T, (H + 2 * KV) * D]);
  if (documents) expectShape('attention', 'documents', documents, [B * T]);
  const { dtype } = qkv;
  const read = documents ? [qkv, documents] : [qkv];
  const [out] = graph.add({
    op: 'attention',
    inputs: read,
    outputs: [{ shape: [B * T, H * D], dtype }, { shape: [B, H, T] }],
    launch: (variants, bind, [out, logsumexp]) =>
      attentionForward(variants, sizes, {
        qkv: bind(qkv),
        out: bind(out!),
        logsumexp: bind(logsumexp!),
        documents: documents && bind(documents),
      }),
    backward([dout], _, [out, logsumexp]) {
      const saved = [...read, logsumexp!, dout!];
      const [dq, delta] = graph.add({
        op: 'attention_query',
        inputs: [...saved, out!],
        outputs: [{ shape: qkv.shape, dtype }, { shape: [B, H, T] }],
        launch: (variants, bind, [dqkv, delta]) =>
          attentionBackwardQuery(variants, sizes, {
            qkv: bind(qkv),
            out: bind(out!),
            logsumexp: bind(logsumexp!),
            dout: bind(dout!),
            dqkv: bind(dqkv!),
            delta: bind(delta!),
            documents: documents && bind(documents),
          }),
      });
      return graph.add({
        op: 'attention_key_value',
        inputs: [...saved, delta!, dq!],
        outputs: [{ shape: qkv.shape, dtype, inPlaceOf: dq! }],
        launch: (variants, bind, [dqkv]) =>
          attentionBackwardKeyValue(variants, sizes, {
            qkv: bind(qkv),
            logsumexp: bind(logsumexp!),
            delta: bind(delta!),
            dout: bind(dout!),
            dqkv: bind(dqkv!),
            documents: documents && bind(documents),
          }),
      });
    },
  });
  return out!;
}
