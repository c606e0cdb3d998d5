/**
 * A model with a cache of keys and values on the device: all prompts run at once, then one token of each sequence at a
 * time.
 */
import { type Plan, plan } from '../autograd/plan.js';
import { bytesOf, type Tensor } from '../autograd/tensor.js';
import { UserError } from '../errors.js';
import { checkIds, checkSizes } from '../model/batch.js';
import type { Model } from '../model/model.js';
import { type CacheShape, TracedCache, type TracedPass } from './traced-cache.js';

/** A planned pass, and where its logits [B, V] are. */
export interface Pass {
  readonly plan: Plan;
  readonly logits: Tensor;
}

/**
 * B sequences that grow in step. The logits are those of `logits()` for the whole sequences. They have the same bits
 * where one set of kernel variants serves both, as the shipped ones do. Free it with `destroy`.
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
  readonly #traced: TracedCache;
  readonly #passes: { readonly prefill: Pass; readonly decode: Pass };
  /** The number of tokens of each sequence so far. */
  #lengths: number[] = [];

  private constructor(model: Model, shape: CacheShape, traced: TracedCache, passes: { prefill: Pass; decode: Pass }) {
    this.model = model;
    this.shape = shape;
    this.#traced = traced;
    this.#passes = passes;
  }

  /**
   * Makes the cache and plans both passes.
   * @throws UserError when a size is not a whole number above 0, the model was destroyed or has fewer positions
   * than `capacity`, or the adapter cannot hold the cache.
   */
  static async create(model: Model, shape: CacheShape): Promise<CachedModel> {
    const { maxPositionEmbeddings } = model.config;
    const { B, T, capacity } = shape;
    model.check();
    checkSizes({ B, T, capacity });
    if (capacity > maxPositionEmbeddings) {
      throw new UserError(`a context of ${capacity} tokens exceeds the model's ${maxPositionEmbeddings} positions`);
    }
    if (T > capacity) throw new UserError(`a prompt of ${T} tokens exceeds the context of ${capacity}`);
    const traced = new TracedCache(model.device, model, shape);
    let prefill: Pass | undefined;
    try {
      prefill = await planPass(model, traced.prefill);
      return new CachedModel(model, shape, traced, { prefill, decode: await planPass(model, traced.decode) });
    } catch (error) {
      prefill?.plan.destroy();
      traced.destroy();
      throw error;
    }
  }

  /**
   * The pass of the newest tokens, for profiling with `device.time`: run again, it does the same again.
   * @internal
   */
  get decodePass(): Pass {
    return this.#passes.decode;
  }

  /** The number of positions of each sequence that are taken. */
  get lengths(): readonly number[] {
    return this.#lengths;
  }

  /**
   * Starts anew with B prompts of 1 … T ids each.
   * @returns the logits [B, V] of each prompt's last token.
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
    const { prompts: promptIds, lastRows, positions } = this.#traced;
    device.write(promptIds.buffer!, ids);
    device.write(
      lastRows.buffer!,
      Uint32Array.from(this.#lengths, (length, b) => b * T + length - 1),
    );
    device.write(positions.buffer!, new Uint32Array(B));
    return this.#run(this.#passes.prefill);
  }

  /**
   * Takes one more token of each sequence. It is undefined for a sequence that is over, whose logits then mean nothing.
   * @returns the logits [B, V] of these tokens.
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
    device.write(this.#traced.ids.buffer!, ids);
    device.write(this.#traced.positions.buffer!, positions);
    return this.#run(this.#passes.decode);
  }

  destroy(): void {
    for (const { plan } of Object.values(this.#passes)) plan.destroy();
    this.#traced.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }

  async #run({ plan, logits }: Pass): Promise<Float32Array> {
    const { device } = this.model;
    device.submit(plan.commands);
    return new Float32Array(await device.read(plan.rangeOf(logits).buffer, 0, bytesOf(logits)));
  }
}

const planPass = async ({ device, variants }: Model, { graph, logits }: TracedPass): Promise<Pass> => ({
  plan: await plan(device, graph, { keep: [logits], variants }),
  logits,
});
