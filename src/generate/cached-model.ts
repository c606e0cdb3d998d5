/** A model with a cache of keys and values on the device: prompts at once, then a token of each sequence at a time. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { bytesOf, type DType, persistent, type Shape, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import { checkIds, checkSizes } from '../model/batch.js';
import { checkWindow } from '../model/config.js';
import { type BatchShape, headsOf, rotate, traceHead, traceLayer } from '../model/llama.js';
import type { Model } from '../model/model.js';
import { attention } from '../ops/attention.js';
import { cachedAttention, type KeyValueCache, writeCache } from '../ops/cache.js';
import { takeRows } from '../ops/take-rows.js';

/** B prompts of at most T tokens. */
export interface CacheShape extends BatchShape {
  /** Positions of each sequence, prompt and continuation together. */
  readonly capacity: number;
}

/** A planned pass, and where its logits [B, V] are. */
interface Pass {
  readonly plan: Plan;
  readonly logits: Tensor;
}

/**
 * B sequences that grow in step. The logits are those of `logits()` for the whole sequences, to the same bits where one
 * set of kernel variants serves both, as the shipped ones do. Free it with `destroy`.
 * @example
 * import { CachedModel, createModel, openDevice } from 'babelgrad';
 *
 * const device = await openDevice();
 * const model = await createModel(device, { preset: 'tiny', vocabSize: 10 });
 * const cached = await CachedModel.create(model, { B: 1, T: 4, capacity: 8 });
 * let logits = await cached.prefill([[1, 2, 3]]); // [1, 10]
 * for (let n = 3; n < 8; n++) logits = await cached.decode([logits.indexOf(Math.max(...logits))]);
 * console.log(cached.lengths);
 * cached.destroy();
 */
export class CachedModel {
  readonly model: Model;
  readonly shape: CacheShape;
  readonly #tensors: Tensor[] = [];
  readonly #passes: Pass[] = [];
  /** Tokens of each sequence so far. */
  #lengths: number[] = [];

  /** Prompts [B*T], padded on the right: causal attention does not see it, and later tokens overwrite it in the cache. */
  readonly #prompts: Tensor;
  /** The last token of each prompt, as a row of those [B]. */
  readonly #lastRows: Tensor;
  /** The newest token of each sequence [B], and its position; zeros for prompts. */
  readonly #ids: Tensor;
  readonly #positions: Tensor;

  private constructor(model: Model, shape: CacheShape) {
    this.model = model;
    this.shape = shape;
    const { B, T } = shape;
    this.#prompts = this.#make('prompt ids', [B * T], 'u32');
    this.#lastRows = this.#make('last rows', [B], 'u32');
    this.#ids = this.#make('newest ids', [B], 'u32');
    this.#positions = this.#make('newest positions', [B], 'u32');
  }

  /**
   * Makes the cache and plans both passes.
   * @throws UserError when a size is not a whole number above 0, the model was destroyed or has fewer positions or a
   * smaller window than `capacity`, or the adapter cannot hold the cache.
   */
  static async create(model: Model, shape: CacheShape): Promise<CachedModel> {
    const { maxPositionEmbeddings } = model.config;
    const { B, T, capacity } = shape;
    model.check();
    checkSizes({ B, T, capacity });
    if (capacity > maxPositionEmbeddings) {
      throw new UserError(`a context of ${capacity} tokens exceeds the model's ${maxPositionEmbeddings} positions`);
    }
    checkWindow(model.config, capacity);
    if (T > capacity) throw new UserError(`a prompt of ${T} tokens exceeds the context of ${capacity}`);
    const cached = new CachedModel(model, shape);
    try {
      await cached.#plan();
      return cached;
    } catch (error) {
      cached.destroy();
      throw error;
    }
  }

  /** Positions of each sequence that are taken. */
  get lengths(): readonly number[] {
    return this.#lengths;
  }

  /**
   * Starts anew with B prompts of 1 … T ids each.
   * @returns logits [B, V] of each prompt's last token.
   * @throws UserError when there are not B prompts of such ids, or the model was destroyed.
   */
  async prefill(prompts: readonly ArrayLike<number>[]): Promise<Float32Array> {
    const { B, T } = this.shape;
    const { device } = this.model;
    this.model.check();
    if (prompts.length !== B) throw new UserError(`${prompts.length} prompts were given to a cache of ${B} sequences`);
    const ids = new Uint32Array(B * T);
    for (const [b, prompt] of prompts.entries()) {
      if (prompt.length < 1 || prompt.length > T) {
        throw new UserError(`a prompt has ${prompt.length} tokens, not 1 … ${T}`);
      }
      checkIds(prompt, this.model.config.vocabSize);
      ids.set(prompt, b * T);
    }
    this.#lengths = prompts.map(({ length }) => length);
    device.write(this.#prompts.buffer!, ids);
    device.write(
      this.#lastRows.buffer!,
      Uint32Array.from(this.#lengths, (length, b) => b * T + length - 1),
    );
    device.write(this.#positions.buffer!, new Uint32Array(B));
    return this.#run(this.#passes[0]!);
  }

  /**
   * Takes one more token of each sequence; undefined for one that is over, whose logits then mean nothing.
   * @returns logits [B, V] of these tokens.
   * @throws UserError when a sequence is full, there are not B such ids, or the model was destroyed.
   */
  async decode(newest: readonly (number | undefined)[]): Promise<Float32Array> {
    const { B, capacity } = this.shape;
    const { device } = this.model;
    this.model.check();
    if (newest.length !== B) throw new UserError(`${newest.length} tokens were given to a cache of ${B} sequences`);
    const given = newest.map(id => id ?? 0);
    checkIds(given, this.model.config.vocabSize);
    const ids = Uint32Array.from(given);
    const positions = Uint32Array.from(this.#lengths, length => Math.min(length, capacity - 1));
    for (const [b, id] of newest.entries()) {
      if (id === undefined) continue;
      if (this.#lengths[b]! >= capacity) throw new UserError(`sequence ${b} has all ${capacity} tokens of its context`);
      this.#lengths[b]!++;
    }
    device.write(this.#ids.buffer!, ids);
    device.write(this.#positions.buffer!, positions);
    return this.#run(this.#passes[1]!);
  }

  destroy(): void {
    for (const { plan } of this.#passes) plan.destroy();
    for (const { buffer } of this.#tensors) buffer!.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  #make(name: string, shape: Shape, dtype: DType): Tensor {
    const tensor = persistent(name, shape, this.model.device.createBuffer(name, bytesOf({ shape, dtype })), dtype);
    this.#tensors.push(tensor);
    return tensor;
  }

  async #run({ plan, logits }: Pass): Promise<Float32Array> {
    const { device } = this.model;
    device.submit(plan.commands);
    return new Float32Array(await device.read(plan.rangeOf(logits).buffer, 0, bytesOf(logits)));
  }

  async #plan(): Promise<void> {
    const { model, shape } = this;
    const { B, T, capacity } = shape;
    const { H, KV, D } = headsOf(model, shape);
    const sizes = { B, H, KV, D };
    const layers = Array.from({ length: model.config.numHiddenLayers }, (_, layer) => ({
      keys: this.#make(`cached keys of layer ${layer}`, [B, KV, D, capacity], model.precision),
      values: this.#make(`cached values of layer ${layer}`, [B, KV, capacity, D], model.precision),
    }));
    // the model keeps every table that it was asked for: a few lengths serve all
    const rotations = model.ropeTable(
      Math.min(model.config.maxPositionEmbeddings, 2 ** Math.ceil(Math.log2(capacity))),
    );

    const prompts = new Graph();
    const firstRotations = persistent('rotations of prompts', [T, D / 2, 2], rotations.buffer!);
    const hidden = this.#trace(prompts, this.#prompts, layers, (qkv, cache) => {
      const rotated = rotate(prompts, model, qkv, shape, firstRotations);
      writeCache(prompts, rotated, this.#positions, cache, { ...sizes, T, capacity });
      return attention(prompts, rotated, { ...sizes, T });
    });
    await this.#addPass(prompts, takeRows(prompts, hidden, this.#lastRows));

    const step = new Graph();
    // a token of each sequence is rotated like B positions of one, by rows of the table that are its own position's
    const ownRotations = takeRows(step, rotations, this.#positions);
    const newest = this.#trace(step, this.#ids, layers, (qkv, cache) => {
      const rotated = rotate(step, model, qkv, { B: 1, T: B }, ownRotations);
      writeCache(step, rotated, this.#positions, cache, { ...sizes, T: 1, capacity });
      return cachedAttention(step, rotated, this.#positions, cache, { ...sizes, capacity });
    });
    await this.#addPass(step, newest);
  }

  /** Token ids [R] → the residual stream behind the last layer [R, C]. */
  #trace(
    graph: Graph,
    ids: Tensor,
    layers: readonly KeyValueCache[],
    attend: (qkv: Tensor, cache: KeyValueCache) => Tensor,
  ): Tensor {
    const { model } = this;
    graph.scope = 'model.';
    let x = takeRows(graph, model.weight('model.embed_tokens.weight'), ids);
    for (const [layer, cache] of layers.entries()) {
      x = traceLayer(graph, model, layer, x, qkv => attend(qkv, cache));
    }
    return x;
  }

  /** Only the last token of each sequence reaches the head. */
  async #addPass(graph: Graph, x: Tensor): Promise<void> {
    const { model } = this;
    const logits = traceHead(graph, model, x);
    this.#passes.push({ plan: await plan(model.device, graph, { keep: [logits], variants: model.variants }), logits });
  }
}
