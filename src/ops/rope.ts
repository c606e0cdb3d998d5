/** Rotary position embedding (Su et al., 2021), in the half-split order of Hugging Face's LLaMA. */
import type { Graph } from '../autograd/graph.js';
import { expectShape, type Tensor } from '../autograd/tensor.js';
import { type RopeSizes, rope as ropeKernel } from '../kernels/rope.js';

/**
 * Rotates the first `heads` heads of x [B*T, rowHeads*headSize] in place by their position; table is [T, headSize/2,
 * 2]. With `documents` [B*T], where the document of each row begins in its sequence, positions count from there. The
 * gradient is rotated back.
 */
export function rope(graph: Graph, x: Tensor, table: Tensor, sizes: RopeSizes, documents?: Tensor): Tensor {
  const { B, T, rowHeads, headSize } = sizes;
  if (headSize % 2 !== 0) throw new Error(`rope: head size ${headSize} is odd`);
  expectShape('rope', 'x', x, [B * T, rowHeads * headSize]);
  expectShape('rope', 'table', table, [T, headSize / 2, 2]);
  if (documents) expectShape('rope', 'documents', documents, [B * T]);
  const by = { table, documents };
  return rotate(graph, x, by, sizes, false, dy => [rotate(graph, dy, by, sizes, true)]);
}

function rotate(
  graph: Graph,
  x: Tensor,
  { table, documents }: { readonly table: Tensor; readonly documents: Tensor | undefined },
  sizes: RopeSizes,
  inverse: boolean,
  rule?: (dy: Tensor) => (Tensor | undefined)[],
): Tensor {
  return graph.add({
    op: inverse ? 'rope_inverse' : 'rope',
    inputs: documents ? [x, table, documents] : [x, table],
    outputs: [{ shape: x.shape, dtype: x.dtype, inPlaceOf: x }],
    launch: (variants, bind, [y]) =>
      ropeKernel(variants, sizes, inverse, {
        table: bind(table),
        x: bind(y!),
        documents: documents && bind(documents),
      }),
    ...(rule && { backward: ([dy]) => rule(dy!) }),
  })[0]!;
}

/**
 * How frequencies are lowered in a model whose context was extended; `type` and fields as in Hugging Face's
 * config.json.
 */
export type RopeScaling =
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    };

/**
 * Returns the radians per position of each pair [headSize/2]: theta^(-2i/headSize), lowered by `scaling`. Both kinds of
 * scaling are those of Hugging Face transformers, src/transformers/modeling_rope_utils.py:
 * - `linear` divides by the factor (Chen et al., 2023).
 * - `llama3` (Llama 3.1) divides frequencies whose wavelength exceeds original / lowFreqFactor, and keeps those below
 *   original / highFreqFactor. In between it goes from one to the other linearly in the number of turns that the
 *   original context makes.
 */
export function ropeFrequencies(headSize: number, theta: number, scaling?: RopeScaling): Float64Array {
  const frequencies = Float64Array.from({ length: headSize / 2 }, (_, i) => theta ** ((-2 * i) / headSize));
  if (!scaling) return frequencies;
  const { factor } = scaling;
  if (scaling.type === 'linear') return frequencies.map(frequency => frequency / factor);
  const { lowFreqFactor: low, highFreqFactor: high, originalMaxPositionEmbeddings: original } = scaling;
  return frequencies.map(frequency => {
    const turns = (original * frequency) / (2 * Math.PI);
    const kept = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    return ((1 - kept) * frequency) / factor + kept * frequency;
  });
}

/** Returns cos and sin [T, headSize/2, 2] of position times frequency, computed in float64. */
export function ropeTable(T: number, headSize: number, theta: number, scaling?: RopeScaling): Float32Array {
  const half = headSize / 2;
  const frequencies = ropeFrequencies(headSize, theta, scaling);
  const table = new Float32Array(T * half * 2);
  for (let t = 0; t < T; t++) {
    for (let i = 0; i < half; i++) {
      const angle = t * frequencies[i]!;
      table[2 * (t * half + i)] = Math.cos(angle);
      table[2 * (t * half + i) + 1] = Math.sin(angle);
    }
  }
  return table;
}
