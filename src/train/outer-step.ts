/**
 * The outer step of DiLoCo (Douillard et al., 2023, arXiv 2311.08105): trainers that went their own ways for some steps
 * meet. What the mean of their weights has moved, taken as a gradient, is followed by SGD with Nesterov momentum:
 *   Δ = θ − mean θ_r,  v ← μ v + Δ,  θ ← θ − η (μ v + Δ)
 * It runs on the host in f32: θ and v take no device memory, and it is rare.
 */
import type { WireType } from '../parallel/all-reduce.js';
import type { RankGroup, Summed } from '../parallel/ranks.js';
import type { Exchange } from './shared-step.js';
import type { Trainer } from './step.js';

export interface OuterSettings {
  /** η */
  readonly learningRate: number;
  /** μ */
  readonly momentum: number;
  /** The type in which Δ travels. */
  readonly wire: WireType;
}

/** θ and v of a parameter. */
interface Outer {
  readonly weights: Float32Array;
  readonly momentum: Float32Array;
}

export class OuterStep {
  readonly #trainer: Trainer;
  readonly #ranks: RankGroup;
  readonly #settings: OuterSettings;
  readonly #outer: ReadonlyMap<string, Outer>;

  private constructor(trainer: Trainer, ranks: RankGroup, settings: OuterSettings, outer: ReadonlyMap<string, Outer>) {
    this.#trainer = trainer;
    this.#ranks = ranks;
    this.#settings = settings;
    this.#outer = outer;
  }

  /** Starts from the trainer's weights, which all ranks have, and the momentum of a checkpoint; by default none. */
  static async create(
    trainer: Trainer,
    ranks: RankGroup,
    settings: OuterSettings,
    momentumOf?: ((name: string) => Float32Array) | undefined,
  ): Promise<OuterStep> {
    const { model } = trainer;
    const outer = new Map<string, Outer>();
    for (const { name } of trainer.trained) {
      const weights = await model.read(name);
      outer.set(name, { weights, momentum: momentumOf?.(name) ?? new Float32Array(weights.length) });
    }
    return new OuterStep(trainer, ranks, settings, outer);
  }

  /** Makes the outer step: all ranks have the same weights after it. */
  async make(): Promise<Exchange> {
    const { model } = this.#trainer;
    const { size } = this.#ranks;
    const started = performance.now();
    const { learningRate, momentum: mu, wire } = this.#settings;
    const exchange = await this.#sumAll(
      wire,
      async name => {
        const moved = await model.read(name);
        const { weights } = this.#outer.get(name)!;
        for (let i = 0; i < moved.length; i++) moved[i] = weights[i]! - moved[i]!;
        return moved;
      },
      (name, sums) => {
        const { weights, momentum } = this.#outer.get(name)!;
        for (let i = 0; i < sums.length; i++) {
          const delta = sums[i]! / size;
          momentum[i] = mu * momentum[i]! + delta;
          weights[i]! -= learningRate * (mu * momentum[i]! + delta);
        }
        model.writePart(name, group => model.weight(group), weights);
      },
    );
    await model.fillHalves();
    return { ...exchange, exposedMs: performance.now() - started };
  }

  /** Gives all ranks the mean of their optimizers' moments, and the rest of that state as rank 0 has it. */
  async shareState(): Promise<void> {
    const trainer = this.#trainer;
    const { size } = this.#ranks;
    const means = new Map<string, Float32Array>();
    for (const moment of ['m', 'v'] as const) {
      await this.#sumAll(
        'f32',
        async name => (await trainer.moments(name))[moment],
        (name, sums) =>
          means.set(
            `${name} ${moment}`,
            sums.map(sum => sum / size),
          ),
      );
    }
    const [scaling, guard] = [await trainer.scaler(), await trainer.guard()];
    const own = { scaling: scaling && [...scaling], guard: [...guard] };
    const [lead] = await this.#ranks.gather(own);
    trainer.restore(trainer.step, name => ({ m: means.get(`${name} m`)!, v: means.get(`${name} v`)! }), {
      scaling: lead!.scaling && Float32Array.from(lead!.scaling),
      guard: Uint32Array.from(lead!.guard),
    });
  }

  /** The momentum of a parameter, which goes on in a resumed run. */
  momentum(name: string): Float32Array {
    return this.#outer.get(name)!.momentum;
  }

  /**
   * Sums over all ranks what `read` gives for each parameter that is trained, while the next is read, and hands the
   * sums to `take`.
   */
  async #sumAll(
    wire: WireType,
    read: (name: string) => Promise<Float32Array>,
    take: (name: string, sums: Float32Array) => void,
  ): Promise<Omit<Exchange, 'exposedMs'>> {
    let [sentBytes, ms] = [0, 0];
    let earlier: { readonly name: string; readonly sum: Promise<Summed> } | undefined;
    const finish = async () => {
      if (!earlier) return;
      const summed = await earlier.sum;
      sentBytes += summed.sentBytes;
      ms += summed.ms;
      take(earlier.name, new Float32Array(summed.values));
    };
    for (const { name } of this.#trainer.trained) {
      const values = await read(name);
      await finish();
      earlier = { name, sum: this.#ranks.sum(values.buffer as ArrayBuffer, wire) };
    }
    await finish();
    return { sentBytes, ms };
  }
}
