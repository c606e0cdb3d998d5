/** What the benchmark measures: a piece of GPU work that can be run again and again. */
import type { Precision } from '../src/model/tensors.js';

/** What its FLOP/s or bytes/s are set against: the multiply-add loop, or the copy. */
export type Rate = 'flops' | 'bytes';

export interface WorkInfo {
  readonly name: string;
  /** The name by which it is asked for, for instance `matmul`. */
  readonly kind: string;
  /** Of weights and activations; accumulation is in f32 always. */
  readonly precision: Precision;
  /** Of one time, by the usual count. */
  readonly flops: number;
  /** That one time cannot do without: every input read once, every output written once. */
  readonly bytes: number;
  readonly rate: Rate;
  /** How its result was checked before it was timed, and how close it came. */
  readonly check: string;
}

export interface Work extends WorkInfo {
  /** Runs it `times` times (`perRun` unless given), until the GPU is done. */
  run(times?: number): Promise<void>;
  readonly perRun: number;
  /** Milliseconds of one time, for about `seconds`: where it runs in another process, which has its own clock. */
  readonly samples?: (seconds: number) => Promise<number[]>;
  /** GPU milliseconds of one time: timestamps around each dispatch, summed. Absent where the adapter has none. */
  readonly gpuTime?: () => Promise<number>;
  destroy(): void;
}

/** What is kept of a work beside its samples. */
export function describeWork({ name, kind, precision, flops, bytes, rate, check }: WorkInfo): WorkInfo {
  return { name, kind, precision, flops, bytes, rate, check };
}
