/** Causal attention, forward and backward. */
import { Graph } from '../../src/autograd/graph.js';
import type { Tensor } from '../../src/autograd/tensor.js';
import type { Device } from '../../src/gpu/device.js';
import { type AttentionShape, attention as attention64, attentionBackward } from '../../src/numerics/attention.js';
import { attentionBounds } from '../../src/numerics/attention-bounds.js';
import { apart, sideBySide } from '../../src/numerics/side-by-side.js';
import { attention } from '../../src/ops/attention.js';
import { place, uniform } from '../tensors.js';
import type { Work } from '../work.js';
import { gradientsOf, kernelWork, verify } from './kernel.js';

/** Scores that a check may hold in float64. */
const CHECKED_SCORES = 2 ** 20;

/** Products of scores and mixing over the causal half: two forward, five backward. */
export const attentionFlops = ({ B, T, H, D }: AttentionShape): number => 7 * B * H * D * T * (T + 1);
/** Forward reads q, k, v and writes out; backward reads q, k, v, out, dout and writes dq, dk, dv. */
export const attentionBytes = ({ B, T, H, D }: AttentionShape): number => 12 * 4 * B * T * H * D;

export type AttentionArrays = Readonly<Record<'q' | 'k' | 'v' | 'dout' | 'out' | 'dq' | 'dk' | 'dv', Float32Array>>;

/** Uniform in [-1, 1): scores are then of the size that a trained model's are. */
export const attentionInput = (label: string, count: number): Float32Array<ArrayBuffer> => uniform(label, count, -1, 1);

/** B sequences of T, H heads of size D, with as many key and value heads. */
export async function attentionWork(device: Device, shape: AttentionShape): Promise<Work> {
  const { B, T, H, D } = shape;
  const name = `attention T ${T}`;
  const width = H * D;
  const qkv = place(device, 'qkv', [B * T, 3 * width], () => {
    // q, k and v as peers get them, side by side as the kernel takes them
    const parts = ['q', 'k', 'v'].map(label => Float64Array.from(attentionInput(label, B * T * width)));
    return Float32Array.from(sideBySide(parts, B * T));
  });
  const dout = place(device, 'dout', [B * T, width], attentionInput);
  const graph = new Graph();
  const out = attention(graph, qkv, shape);
  const [dqkv] = gradientsOf(graph.nodes[0]!, [dout]) as [Tensor];
  return kernelWork(device, {
    name,
    kind: 'attention',
    flops: attentionFlops(shape),
    bytes: attentionBytes(shape),
    rate: 'flops',
    graph,
    tensors: [qkv, dout],
    keep: [out, dqkv],
    async check(read) {
      const [q, k, v] = apart(await read(qkv), B * T, [width, width, width]);
      const [dq, dk, dv] = apart(await read(dqkv), B * T, [width, width, width]);
      const arrays = { q: q!, k: k!, v: v!, dout: await read(dout), out: await read(out), dq: dq!, dk: dk!, dv: dv! };
      return verifyAttention(name, shape, arrays);
    },
  });
}

/** Compares the results of the first sequence's first heads, as many as little memory allows, row by row. */
export function verifyAttention(name: string, { T, H, D }: AttentionShape, arrays: AttentionArrays): string {
  const heads = Math.max(1, Math.min(H, Math.floor(CHECKED_SCORES / T ** 2)));
  const shape = { B: 1, T, H: heads, KV: heads, D };
  const slice = (label: keyof AttentionArrays) =>
    Float64Array.from({ length: T * heads * D }, (_, i) => {
      const [t, rest] = [Math.floor(i / (heads * D)), i % (heads * D)];
      return arrays[label][t * H * D + rest]!;
    });
  const inputs = { q: slice('q'), k: slice('k'), v: slice('v') };
  const dout = slice('dout');
  const { out } = attention64(inputs, shape);
  const reference = { out, ...attentionBackward(inputs, dout, shape) };
  const bounds = attentionBounds(inputs, out, dout, shape);
  return verify(
    name,
    (['out', 'dq', 'dk', 'dv'] as const).map(what => ({
      what,
      actual: Float32Array.from(slice(what)),
      reference: reference[what],
      bound: bounds[what],
    })),
  );
}
