/** Causal scaled dot-product attention with grouped-query heads (flash style: Dao, 2023, without atomics). */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import {
  type AttentionSizes,
  attentionBackwardKeyValue,
  attentionBackwardQuery,
  attentionForward,
  attentionVariant,
} from '../kernels/attention.js';

/**
 * q [B*T, H*D], k and v [B*T, KV*D] → out [B*T, H*D]. Saves out and the log-sum-exp of each row [B, H, T]; the gradient
 * recomputes the probabilities, in one pass for dq and one for dk and dv.
 */
export function attention(graph: Graph, q: Tensor, k: Tensor, v: Tensor, sizes: AttentionSizes): Tensor {
  const { B, T, H, KV, D } = sizes;
  if (H % KV !== 0) throw new Error(`attention: ${H} query heads cannot share ${KV} key/value heads`);
  expectShape('attention', 'q', q, [B * T, H * D]);
  expectShape('attention', 'k', k, [B * T, KV * D]);
  expectShape('attention', 'v', v, [B * T, KV * D]);
  const [out] = graph.add({
    op: 'attention',
    inputs: [q, k, v],
    outputs: [{ shape: q.shape }, { shape: [B, H, T] }],
    launch: (adapter, bind, [out, logsumexp]) => [
      attentionForward(attentionVariant(adapter), sizes, {
        q: bind(q),
        k: bind(k),
        v: bind(v),
        out: bind(out!),
        logsumexp: bind(logsumexp!),
      }),
    ],
    backward([dout], _, [out, logsumexp]) {
      const saved = [q, k, v, logsumexp!, dout!];
      const [dq, delta] = graph.add({
        op: 'attention_query',
        inputs: [...saved, out!],
        outputs: [{ shape: q.shape }, { shape: [B, H, T] }],
        launch: (adapter, bind, [dq, delta]) => [
          attentionBackwardQuery(attentionVariant(adapter), sizes, {
            q: bind(q),
            k: bind(k),
            v: bind(v),
            out: bind(out!),
            logsumexp: bind(logsumexp!),
            dout: bind(dout!),
            dq: bind(dq!),
            delta: bind(delta!),
          }),
        ],
      });
      const [dk, dv] = graph.add({
        op: 'attention_key_value',
        inputs: [...saved, delta!],
        outputs: [{ shape: k.shape }, { shape: v.shape }],
        launch: (adapter, bind, [dk, dv]) => [
          attentionBackwardKeyValue(attentionVariant(adapter), sizes, {
            q: bind(q),
            k: bind(k),
            v: bind(v),
            logsumexp: bind(logsumexp!),
            delta: bind(delta!),
            dout: bind(dout!),
            dk: bind(dk!),
            dv: bind(dv!),
          }),
        ],
      });
      return [dq, dk, dv];
    },
  });
  return out!;
}
