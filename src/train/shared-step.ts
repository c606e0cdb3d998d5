/**
 * Steps that several trainers share, each with a part of the batch: data parallelism. Gradients and loss are summed
 * over all, in buckets that travel while the backward pass goes on; then each trainer makes the same update.
 */
import type { Command } from '../gpu/program.js';
import { LARGEST_HALF } from '../half.js';
import type { Operand } from '../kernels/call.js';
import { BYTES, floatsOf, packed } from '../kernels/element-type.js';
import type { WireType } from '../parallel/all-reduce.js';
import type { Ranks, Summed } from '../parallel/ranks.js';
import { bucketsOf } from './buckets.js';
import type { Trainer } from './step.js';

/** What the exchange of a step took. */
export interface Exchange {
  /** The bytes that this rank sent to others. */
  readonly sentBytes: number;
  /** The milliseconds of all transfers, waiting for other ranks among them. */
  readonly ms: number;
  /** The milliseconds of these in which the device had nothing to compute: what the exchange cost. */
  readonly exposedMs: number;
}

export interface SharedStepOptions {
  /** The type in which gradients travel. */
  readonly wire: WireType;
  /** The bytes that a bucket grows to. */
  readonly bucketBytes?: number | undefined;
}

export class SharedStep {
  readonly #trainer: Trainer;
  readonly #ranks: Pick<Ranks, 'sum'>;
  readonly #wire: WireType;
  /** The passes cut into parts, with what is final after each. */
  readonly #parts: readonly { readonly commands: readonly Command[]; readonly ranges: readonly Operand[] }[];

  /** `trainer` is made for as many `sharers` as there are ranks. */
  constructor(trainer: Trainer, ranks: Pick<Ranks, 'sum'>, { wire, bucketBytes }: SharedStepOptions) {
    this.#trainer = trainer;
    this.#ranks = ranks;
    this.#wire = wire;
    const [plan] = trainer.plans;
    const { parameters, loss } = trainer.state;
    const gradients = [...parameters.values()].map(({ tensor }) => tensor.gradient!);
    const start = trainer.passes.length - plan!.commands.length; // of the last micro-batch
    let from = 0;
    this.#parts = bucketsOf(plan!, [...gradients, loss], bucketBytes).map(({ after, ranges }) => {
      const commands = trainer.passes.slice(from, start + after);
      from = start + after;
      return { commands, ranges };
    });
  }

  /**
   * Makes a step on this rank's sequences [microBatches*B, T+1], with weights whose sum over all ranks is `total`. It
   * returns when the update is submitted.
   * @throws RankError when another rank is lost; UserError as `Trainer.submit`.
   */
  async submit(
    sequences: Uint32Array,
    learningRate: number,
    weights?: Float32Array,
    total?: number,
  ): Promise<Exchange> {
    const trainer = this.#trainer;
    const { device } = trainer.model;
    trainer.begin(sequences, learningRate, weights, total);
    const reads = this.#parts.map(({ commands, ranges }) => {
      device.submit(commands);
      return device.copyOutAll(ranges);
    });
    const sums: Promise<Summed>[] = [];
    for (const [i, read] of reads.entries()) {
      const sum = this.#ranks.sum(floatsOfRanges(await read(), this.#parts[i]!.ranges), this.#wire);
      sum.catch(() => {}); // it is awaited below, unless a read fails first
      sums.push(sum);
    }
    const computed = performance.now();
    let [sentBytes, ms] = [0, 0];
    for (const [i, { ranges }] of this.#parts.entries()) {
      const summed = await sums[i]!;
      sentBytes += summed.sentBytes;
      ms += summed.ms;
      let first = 0;
      for (const { buffer, offsetBytes, sizeBytes, type } of ranges) {
        const count = sizeBytes / BYTES[type];
        const sums = new Float32Array(summed.values, 4 * first, count);
        // in f16 what is too large becomes infinite, and the step is skipped
        device.write(buffer, type === 'f32' ? sums : packed(sums, type), offsetBytes);
        first += count;
      }
    }
    const exposedMs = performance.now() - computed;
    await trainer.finish();
    return { sentBytes, ms, exposedMs };
  }
}

/** The values of ranges whose bytes come one after another, in f32, in which they are summed. */
function floatsOfRanges(bytes: ArrayBuffer, ranges: readonly Operand[]): ArrayBuffer {
  if (ranges.every(({ type }) => type === 'f32')) return bytes;
  const values = new Float32Array(ranges.reduce((sum, { sizeBytes, type }) => sum + sizeBytes / BYTES[type], 0));
  let [at, first] = [0, 0];
  for (const { sizeBytes, type } of ranges) {
    const own = floatsOf(bytes.slice(at, at + sizeBytes), type);
    if (type === 'f16') tellOverflow(own);
    values.set(own, first);
    at += sizeBytes;
    first += own.length;
  }
  return values.buffer;
}

/** What overflowed may have been rounded to the largest half, which a sum with other ranks' values would hide. */
function tellOverflow(halves: Float32Array): void {
  halves.forEach((value, i) => {
    if (Math.abs(value) === LARGEST_HALF) halves[i] = value * Number.POSITIVE_INFINITY;
  });
}
