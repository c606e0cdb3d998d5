/** Losses of single tokens: forward passes planned once for a batch shape. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, sizeOf, type Tensor } from '../autograd/tensor.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Memory } from '../gpu/memory.js';
import type { Command } from '../gpu/program.js';
import { BatchInputs, type BatchOptions, checkBatch, checkDocumentEnd, checkIdArray } from '../model/batch.js';
import { type BatchShape, type Branches, traceHits, traceLosses } from '../model/llama.js';
import type { Model } from '../model/model.js';
import type { ForwardTensors } from '../model/tensors.js';

/** The rows that each row of a batch follows, where sequences are branches of one (see `layTrees`). */
export interface BranchRows {
  /** Positions [n, T]. */
  readonly positions: Uint32Array;
  /** Spans [n, T, 2]. */
  readonly spans: Uint32Array;
}

export interface TokenLossesOptions extends Pick<BatchOptions, 'documentEnd'> {
  /** The most tokens of a sequence in a tree; where it is given, batches are trees. */
  readonly branches?: number | undefined;
  /** Whether a batch is to tell hits too; not for trees. */
  readonly hits?: boolean | undefined;
}

/** What a batch shows of each prediction, `[n, T]`. */
export interface Scores {
  readonly losses: Float32Array;
  /** 1 where the target's logit is larger than every other one, else 0. */
  readonly hits: Float32Array;
}

/** The tensors of a forward pass in buffers of `memory`, and its traced graph: batches to `losses` and `hits` [B*T]. */
export class TracedLosses {
  readonly inputs: BatchInputs;
  readonly packed: DeviceBuffer;
  readonly branches: Branches | undefined;
  readonly losses: Tensor;
  readonly hits: Tensor | undefined;
  readonly graph = new Graph();

  constructor(
    memory: Memory,
    model: ForwardTensors,
    shape: BatchShape,
    { branches, hits, documentEnd }: TokenLossesOptions = {},
  ) {
    const { B, T } = shape;
    if (branches !== undefined && documentEnd !== undefined) throw new Error('token losses: trees or documents?');
    this.inputs = new BatchInputs(memory, shape, { documentEnd });
    this.packed = memory.createBuffer('packed batch of token losses', 4 * this.inputs.words);
    if (branches !== undefined) {
      const make = (name: string, ...row: number[]) =>
        persistent(name, [B * T, ...row], memory.createBuffer(name, 4 * B * T * sizeOf(row)), 'u32');
      // the model keeps every table that it was asked for: a few lengths serve all
      const length = 2 ** Math.ceil(Math.log2(branches));
      this.branches = { positions: make('positions'), spans: make('spans', 2), length };
    }
    const traced = hits
      ? traceHits(this.graph, model, this.inputs, shape)
      : { losses: traceLosses(this.graph, model, this.inputs, shape, { branches: this.branches }), hits: undefined };
    this.losses = traced.losses;
    this.hits = traced.hits;
  }

  /** What a pass leaves to be read. */
  get kept(): Tensor[] {
    return this.hits ? [this.losses, this.hits] : [this.losses];
  }

  destroy(): void {
    this.inputs.destroy();
    this.packed.destroy();
    if (!this.branches) return;
    for (const { buffer } of [this.branches.positions, this.branches.spans]) buffer!.destroy();
  }
}

/**
 * Runs forward passes over at most B sequences of T tokens and keeps every token's loss. Free it with `destroy`.
 * @example
 * import { createModel, openDevice, TokenLosses } from 'babelgrad';
 *
 * const device = await openDevice();
 * const model = await createModel(device, { preset: 'tiny', vocabSize: 10 });
 * const losses = await TokenLosses.create(model, { B: 1, T: 3 });
 * console.log(await losses.of(Uint32Array.of(1, 2, 3, 4))); // −ln p of 2, 3 and 4
 * losses.destroy();
 */
export class TokenLosses {
  readonly shape: BatchShape;
  /** The commands of a pass, for profiling with `device.time`. */
  readonly program: readonly Command[];
  /** @internal */
  readonly plan: Plan;
  readonly #model: Model;
  readonly #traced: TracedLosses;

  private constructor(model: Model, shape: BatchShape, traced: TracedLosses, planned: Plan) {
    this.#model = model;
    this.shape = shape;
    this.#traced = traced;
    this.plan = planned;
    this.program = [...traced.inputs.load(traced.packed, 0), ...planned.commands];
  }

  /**
   * Plans the forward pass.
   * @throws UserError when the shape is none, `documentEnd` is no id, the model was destroyed, or a buffer exceeds the
   * adapter's limits.
   */
  static async create(model: Model, shape: BatchShape, options: TokenLossesOptions = {}): Promise<TokenLosses> {
    model.check();
    checkDocumentEnd(options.documentEnd, model.config.vocabSize);
    const { device, variants } = model;
    const traced = new TracedLosses(device, model, shape, options);
    try {
      const planned = await plan(device, traced.graph, { keep: traced.kept, variants });
      return new TokenLosses(model, shape, traced, planned);
    } catch (error) {
      traced.destroy();
      throw error;
    }
  }

  /**
   * Returns the losses of sequences.
   * @param sequences [n, T+1], n ≤ B.
   * @param branches the rows of branches, where the batch is one of trees.
   * @returns `[n, T]`: −ln p of each token but the first, given those before it; 0 where it is IGNORED_TARGET.
   * @throws UserError when the ids are not sound, or the model was destroyed.
   */
  async of(sequences: Uint32Array, branches?: BranchRows): Promise<Float32Array> {
    const count = this.#run(sequences, branches);
    return this.#read(this.#traced.losses, count);
  }

  /**
   * Returns losses as `of` does, and hits.
   * @throws UserError as `of`.
   */
  async scoresOf(sequences: Uint32Array): Promise<Scores> {
    const { losses, hits } = this.#traced;
    if (!hits) throw new Error('token losses: they were not planned with hits');
    const count = this.#run(sequences);
    return { losses: await this.#read(losses, count), hits: await this.#read(hits, count) };
  }

  /** Submits a pass. @returns the number of sequences. */
  #run(sequences: Uint32Array, branches?: BranchRows): number {
    const { B, T } = this.shape;
    const { device, config } = this.#model;
    checkIdArray(sequences);
    const count = Math.max(1, Math.min(B, Math.ceil(sequences.length / (T + 1))));
    checkBatch(this.#model, sequences, { B: count, T });
    const { inputs, packed, branches: own } = this.#traced;
    if ((branches === undefined) !== (own === undefined)) throw new Error('token losses: trees or not?');
    device.write(packed, inputs.pack(sequences, 1, config.vocabSize));
    if (branches) {
      device.write(own!.positions.buffer!, branches.positions);
      device.write(own!.spans.buffer!, branches.spans);
    }
    device.submit(this.program);
    return count;
  }

  async #read(tensor: Tensor, count: number): Promise<Float32Array> {
    const bytes = 4 * count * this.shape.T;
    return new Float32Array(await this.#model.device.read(this.plan.rangeOf(tensor).buffer, 0, bytes));
  }

  destroy(): void {
    this.plan.destroy();
    this.#traced.destroy();
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}
