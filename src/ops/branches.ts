/**
 * Attention over sequences that begin alike, each a branch of one trunk. It has no gradient: nothing is trained through
 * it.
 */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { attentionBranches } from '../kernels/attention.js';
import type { AttentionSizes } from '../kernels/attention-variant.js';

/**
 * Returns the attention of qkv [B*T, (H + 2 KV)*D]: out [B*T, H*D], the same bits as `attention` over each sequence
 * alone.
 * @param branches [B*T, 2]: the number of keys of a row's trunk, and where its branch begins (see
 * kernels/attention_forward.wgsl).
 */
export function branchAttention(graph: Graph, qkv: Tensor, branches: Tensor, sizes: AttentionSizes): Tensor {
  const { B, T, H, KV, D } = sizes;
  expectShape('attention_branches', 'qkv', qkv, [B * T, (H + 2 * KV) * D]);
  expectShape('attention_branches', 'branches', branches, [B * T, 2]);
  return graph.add({
    op: 'attention_branches',
    inputs: [qkv, branches],
    outputs: [{ shape: [B * T, H * D], dtype: qkv.dtype }, { shape: [B, H, T] }],
    launch: (variants, bind, [out, logsumexp]) =>
      attentionBranches(variants, sizes, {
        qkv: bind(qkv),
        out: bind(out!),
        logsumexp: bind(logsumexp!),
        branches: bind(branches),
      }),
  })[0]!;
}
