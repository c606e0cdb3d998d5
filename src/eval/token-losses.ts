/** Losses of single tokens, and what they add up to over a span: the log-likelihood of a continuation. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import type { Tensor } from '../autograd/tensor.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import { IGNORED_TARGET } from '../kernels/rows.js';
import { BatchInputs, packSequences } from '../model/batch.js';
import { type BatchShape, traceLosses } from '../model/llama.js';
import type { Model } from '../model/model.js';

/** Forward passes over at most B sequences of T tokens that keep every token's loss. Free it with `destroy`. */
export class TokenLosses {
  readonly shape: BatchShape;
  readonly #model: Model;
  readonly #inputs: BatchInputs;
  readonly #packed: DeviceBuffer;
  readonly #losses: Tensor;
  readonly #plan: Plan;

  private constructor(
    model: Model,
    shape: BatchShape,
    inputs: BatchInputs,
    packed: DeviceBuffer,
    losses: Tensor,
    planned: Plan,
  ) {
    this.#model = model;
    this.shape = shape;
    this.#inputs = inputs;
    this.#packed = packed;
    this.#losses = losses;
    this.#plan = planned;
  }

  static async create(model: Model, shape: BatchShape): Promise<TokenLosses> {
    const { device, kernels } = model;
    const inputs = new BatchInputs(device, shape);
    const packed = device.createBuffer('packed batch of token losses', 4 * inputs.words);
    try {
      const graph = new Graph();
      const losses = traceLosses(graph, model, inputs, shape);
      const planned = await plan(device, graph, { keep: [losses], kernels });
      return new TokenLosses(model, shape, inputs, packed, losses, planned);
    } catch (error) {
      inputs.destroy();
      packed.destroy();
      throw error;
    }
  }

  /**
   * @param sequences [n, T+1], n ≤ B.
   * @returns [n, T]: −ln p of each token but the first, given those before it; 0 where it is IGNORED_TARGET.
   */
  async of(sequences: Uint32Array): Promise<Float32Array> {
    const { B, T } = this.shape;
    const { device, config } = this.#model;
    const count = sequences.length / (T + 1);
    if (!Number.isInteger(count) || count > B) {
      throw new Error(`token losses: ${sequences.length} ids are not at most ${B} sequences of ${T + 1}`);
    }
    device.write(this.#packed, packSequences(sequences, this.shape, 1, config.vocabSize));
    device.submit([...this.#inputs.load(this.#packed, 0), ...this.#plan.commands]);
    return new Float32Array(await device.read(this.#plan.rangeOf(this.#losses).buffer, 0, 4 * count * T));
  }

  destroy(): void {
    this.#plan.destroy();
    this.#inputs.destroy();
    this.#packed.destroy();
  }
}

/** Tokens of which those from `start` on (at least 1) are scored, given all before. */
export interface ScoredTokens {
  readonly ids: ArrayLike<number>;
  readonly start: number;
}

/** Summed log-likelihoods in nats [n], n ≤ B, of sequences of 2 to T+1 ids. Sums are float64. */
export async function spanLogLikelihoods(
  evaluator: TokenLosses,
  sequences: readonly ScoredTokens[],
): Promise<Float64Array> {
  const { T } = evaluator.shape;
  const batch = new Uint32Array(sequences.length * (T + 1)).fill(IGNORED_TARGET);
  sequences.forEach(({ ids, start }, i) => {
    if (start < 1 || start >= ids.length || ids.length > T + 1) {
      throw new Error(`a span from ${start} of ${ids.length} ids cannot be scored in ${T + 1}`);
    }
    batch.set(ids, i * (T + 1));
  });
  const losses = await evaluator.of(batch);
  return Float64Array.from(sequences, ({ ids, start }, i) => {
    let sum = 0;
    for (let t = start; t < ids.length; t++) sum -= losses[i * T + t - 1]!;
    return sum;
  });
}

/** The length in predicted tokens that a sequence is padded to: 16, 24, 32, 48, 64, 96, …, so that a few plans do. */
export function paddedLength(tokens: number): number {
  for (let power = 16; ; power *= 2) {
    if (tokens <= power) return power;
    if (tokens <= 1.5 * power) return 1.5 * power;
  }
}

export interface ScoreOptions {
  /** Tokens that run at once, padding among them; a batch has at least one sequence. */
  readonly batchTokens: number;
  readonly onScored?: (sequences: number) => void;
}

/**
 * Summed log-likelihood of each sequence [n], by length: those of one padded length run one after the other as batches of
 * one plan, which is made once and freed before the next length.
 */
export async function logLikelihoods(
  model: Model,
  sequences: readonly ScoredTokens[],
  { batchTokens, onScored }: ScoreOptions,
): Promise<Float64Array> {
  const byLength = new Map<number, number[]>();
  sequences.forEach(({ ids }, i) => {
    const T = paddedLength(ids.length - 1);
    const members = byLength.get(T);
    if (members) members.push(i);
    else byLength.set(T, [i]);
  });
  const sums = new Float64Array(sequences.length);
  for (const [T, members] of [...byLength].sort(([a], [b]) => b - a)) {
    const B = Math.max(1, Math.min(Math.floor(batchTokens / T), members.length));
    const evaluator = await TokenLosses.create(model, { B, T });
    try {
      for (let first = 0; first < members.length; first += B) {
        const batch = members.slice(first, first + B);
        const scored = await spanLogLikelihoods(
          evaluator,
          batch.map(i => sequences[i]!),
        );
        batch.forEach((i, row) => {
          sums[i] = scored[row]!;
        });
        onScored?.(batch.length);
      }
    } finally {
      evaluator.destroy();
    }
  }
  return sums;
}
