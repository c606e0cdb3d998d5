/**
 * The cache of keys and values on the device, and the traced graphs of both passes over it: all prompts at once, and a
 * token of each sequence. Whoever runs the graphs plans them.
 */
import { Graph } from '../autograd/graph.js';
import { bytesOf, type DType, persistent, type Shape, type Tensor } from '../autograd/tensor.js';
import type { Memory } from '../gpu/memory.js';
import { type BatchShape, headsOf, rotate, tablesOf, traceEmbedded, traceHead, traceLayer } from '../model/llama.js';
import { EMBEDDING } from '../model/parameters.js';
import type { ForwardTensors } from '../model/tensors.js';
import { attention } from '../ops/attention.js';
import { cachedAttention, type KeyValueCache, writeKeysAndValues } from '../ops/key-value-cache.js';
import { takeRows } from '../ops/take-rows.js';

/** B prompts of at most T tokens. */
export interface CacheShape extends BatchShape {
  /** The positions of each sequence, prompt and continuation together. */
  readonly capacity: number;
}

/** A traced pass, and its logits [B, V]. */
export interface TracedPass {
  readonly graph: Graph;
  readonly logits: Tensor;
}

export class TracedCache {
  /**
   * The prompts [B*T], padded on the right. Causal attention does not see the padding, and later tokens overwrite it in
   * the cache.
   */
  readonly prompts: Tensor;
  /** The row of the prompts at which each one's last token stands [B]. */
  readonly lastRows: Tensor;
  /** The newest token of each sequence [B], and below it the position of each; the positions are zeros for prompts. */
  readonly ids: Tensor;
  readonly positions: Tensor;
  readonly prefill: TracedPass;
  readonly decode: TracedPass;
  readonly #tensors: Tensor[] = [];

  constructor(memory: Memory, model: ForwardTensors, shape: CacheShape) {
    const { B, T, capacity } = shape;
    const make = (name: string, shape: Shape, dtype: DType): Tensor => {
      const tensor = persistent(name, shape, memory.createBuffer(name, bytesOf({ shape, dtype })), dtype);
      this.#tensors.push(tensor);
      return tensor;
    };
    try {
      this.prompts = make('prompt ids', [B * T], 'u32');
      this.lastRows = make('last rows', [B], 'u32');
      this.ids = make('newest ids', [B], 'u32');
      this.positions = make('newest positions', [B], 'u32');
      const layers = Array.from({ length: model.config.numHiddenLayers }, (_, layer) => {
        const { KV, D, capacity } = sizesOf(model, shape, layer);
        return {
          keys: make(`cached keys of layer ${layer}`, [B, KV, D, capacity], model.precision),
          values: make(`cached values of layer ${layer}`, [B, KV, capacity, D], model.precision),
        };
      });
      // the model keeps every table that it was asked for: a few lengths serve all
      const longest = Math.min(model.config.maxPositionEmbeddings, 2 ** Math.ceil(Math.log2(capacity)));
      const rotations = (local: boolean) => model.ropeTable(longest, local);
      this.prefill = this.#tracePrefill(model, shape, layers, rotations);
      this.decode = this.#traceDecode(model, shape, layers, rotations);
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  #tracePrefill(
    model: ForwardTensors,
    shape: CacheShape,
    layers: readonly KeyValueCache[],
    rotations: (local: boolean) => Tensor,
  ): TracedPass {
    const { T, D } = headsOf(model, shape);
    const graph = new Graph();
    const tableOf = tablesOf(model, local =>
      persistent('rotations of prompts', [T, D / 2, 2], rotations(local).buffer!),
    );
    const hidden = traceHidden(graph, model, this.prompts, layers, (qkv, cache, layer) => {
      const rotated = rotate(graph, model, layer, qkv, shape, { table: tableOf(layer) });
      writeKeysAndValues(graph, rotated, this.positions, cache, sizesOf(model, shape, layer), this.lastRows);
      return attention(graph, rotated, headsOf(model, shape, layer));
    });
    // only the last token of each sequence reaches the head
    return { graph, logits: traceHead(graph, model, takeRows(graph, hidden, this.lastRows)) };
  }

  #traceDecode(
    model: ForwardTensors,
    shape: CacheShape,
    layers: readonly KeyValueCache[],
    rotations: (local: boolean) => Tensor,
  ): TracedPass {
    const { B } = shape;
    const graph = new Graph();
    // a token of each sequence is rotated as if they were B positions of one, each by the row of its own position
    const tableOf = tablesOf(model, local => takeRows(graph, rotations(local), this.positions));
    const newest = traceHidden(graph, model, this.ids, layers, (qkv, cache, layer) => {
      const rotated = rotate(graph, model, layer, qkv, { B: 1, T: B }, { table: tableOf(layer) });
      const sizes = sizesOf(model, { ...shape, T: 1 }, layer);
      writeKeysAndValues(graph, rotated, this.positions, cache, sizes);
      return cachedAttention(graph, rotated, this.positions, cache, sizes);
    });
    return { graph, logits: traceHead(graph, model, newest) };
  }

  destroy(): void {
    for (const { buffer } of this.#tensors) buffer!.destroy();
  }
}

/** The sizes of a layer and its cache: within a window, which later positions leave, a ring of that many. */
function sizesOf(model: ForwardTensors, shape: CacheShape, layer: number) {
  const { capacity: context } = shape;
  const heads = headsOf(model, shape, layer);
  return { ...heads, context, capacity: Math.min(context, heads.window ?? context) };
}

/** Traces token ids [R] → the residual stream behind the last layer [R, C]. */
function traceHidden(
  graph: Graph,
  model: ForwardTensors,
  ids: Tensor,
  layers: readonly KeyValueCache[],
  attend: (qkv: Tensor, cache: KeyValueCache, layer: number) => Tensor,
): Tensor {
  graph.scope = 'model.';
  let x = traceEmbedded(graph, model, takeRows(graph, model.weight(EMBEDDING), ids));
  for (const [layer, cache] of layers.entries()) {
    x = traceLayer(graph, model, layer, x, qkv => attend(qkv, cache, layer));
  }
  return x;
}
