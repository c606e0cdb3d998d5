/** Weights of a model that holds Q, K and V as one matrix, and gate and up as one: apart, and together again. */
import type { Vector } from './reference.js';

type Weights = Map<string, Vector>;

interface Sizes {
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
}

const FUSED = /^(.*)(self_attn\.qkv_proj|mlp\.gate_up_proj)\.weight$/;

/** Returns the names and the rows of the parts of a matrix. */
function partsOf(shape: Sizes, prefix: string, matrix: string): (readonly [name: string, rows: number])[] {
  const { numAttentionHeads: H, numKeyValueHeads: KV, headDim: D, intermediateSize: F } = shape;
  const rows = matrix.startsWith('mlp')
    ? { 'mlp.gate_proj': F, 'mlp.up_proj': F }
    : { 'self_attn.q_proj': H * D, 'self_attn.k_proj': KV * D, 'self_attn.v_proj': KV * D };
  return Object.entries(rows).map(([name, count]) => [`${prefix}${name}.weight`, count]);
}

export function takeApart(shape: Sizes, weights: Weights): Weights {
  const parts: Weights = new Map();
  for (const [name, values] of weights) {
    const [, prefix, matrix] = FUSED.exec(name) ?? [];
    if (prefix === undefined) {
      parts.set(name, values);
      continue;
    }
    let first = 0;
    for (const [part, rows] of partsOf(shape, prefix, matrix!)) {
      parts.set(part, values.subarray(first, first + rows * shape.hiddenSize));
      first += rows * shape.hiddenSize;
    }
  }
  return parts;
}

/** Puts the parts together again to what has these names. */
export function putTogether(shape: Sizes, parts: Weights, names: Iterable<string>): Weights {
  const weights: Weights = new Map();
  for (const name of names) {
    const [, prefix, matrix] = FUSED.exec(name) ?? [];
    const members = prefix === undefined ? [name] : partsOf(shape, prefix, matrix!).map(([part]) => part);
    weights.set(name, Float64Array.from(members.flatMap(member => [...parts.get(member)!])));
  }
  return weights;
}
