/** Losses of single tokens: forward passes planned once for a batch shape. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { persistent, type Tensor } from '../autograd/tensor.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import { BatchInputs, packSequences } from '../model/batch.js';
import { type BatchShape, type Branches, traceLosses } from '../model/llama.js';
import type { Model } from '../model/model.js';

/** Which rows each row of a batch follows, where sequences are branches of one (see layTrees). */
export interface BranchRows {
  /** [n, T] */
  readonly positions: Uint32Array;
  /** [n, T, 2] */
  readonly spans: Uint32Array;
}

export interface TokenLossesOptions {
  /** Takes trees of sequences of at most so many tokens. */
  readonly branches?: number | undefined;
}

/** Forward passes over at most B sequences of T tokens that keep every token's loss. Free it with `destroy`. */
export class TokenLosses {
  readonly shape: BatchShape;
  readonly #model: Model;
  readonly #inputs: BatchInputs;
  readonly #packed: DeviceBuffer;
  readonly #branches: Branches | undefined;
  #losses!: Tensor;
  #plan: Plan | undefined;

  private constructor(model: Model, shape: BatchShape, { branches }: TokenLossesOptions) {
    const { device } = model;
    const { B, T } = shape;
    this.#model = model;
    this.shape = shape;
    this.#inputs = new BatchInputs(device, shape);
    this.#packed = device.createBuffer('packed batch of token losses', 4 * this.#inputs.words);
    if (branches === undefined) return;
    const make = (name: string, words: number, ...row: number[]) =>
      persistent(name, [B * T, ...row], device.createBuffer(name, 4 * words), 'u32');
    this.#branches = {
      positions: make('positions', B * T),
      spans: make('spans', 2 * B * T, 2),
      // the model keeps every table that it was asked for: a few lengths serve all
      length: 2 ** Math.ceil(Math.log2(branches)),
    };
  }

  static async create(model: Model, shape: BatchShape, options: TokenLossesOptions = {}): Promise<TokenLosses> {
    const made = new TokenLosses(model, shape, options);
    try {
      const graph = new Graph();
      made.#losses = traceLosses(graph, model, made.#inputs, shape, { branches: made.#branches });
      made.#plan = await plan(model.device, graph, { keep: [made.#losses], kernels: model.kernels });
      return made;
    } catch (error) {
      made.destroy();
      throw error;
    }
  }

  /**
   * @param sequences [n, T+1], n ≤ B.
   * @param branches where the batch is one of trees.
   * @returns [n, T]: −ln p of each token but the first, given those before it; 0 where it is IGNORED_TARGET.
   */
  async of(sequences: Uint32Array, branches?: BranchRows): Promise<Float32Array> {
    const { B, T } = this.shape;
    const { device, config } = this.#model;
    const count = sequences.length / (T + 1);
    if (!Number.isInteger(count) || count > B) {
      throw new Error(`token losses: ${sequences.length} ids are not at most ${B} sequences of ${T + 1}`);
    }
    if ((branches === undefined) !== (this.#branches === undefined)) throw new Error('token losses: trees or not?');
    device.write(this.#packed, packSequences(sequences, this.shape, 1, config.vocabSize));
    if (branches) {
      device.write(this.#branches!.positions.buffer!, branches.positions);
      device.write(this.#branches!.spans.buffer!, branches.spans);
    }
    device.submit([...this.#inputs.load(this.#packed, 0), ...this.#plan!.commands]);
    return new Float32Array(await device.read(this.#plan!.bufferOf(this.#losses), 0, 4 * count * T));
  }

  destroy(): void {
    this.#plan?.destroy();
    this.#inputs.destroy();
    this.#packed.destroy();
    if (!this.#branches) return;
    for (const { buffer } of [this.#branches.positions, this.#branches.spans]) buffer!.destroy();
  }
}
