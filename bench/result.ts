/** What a benchmark finds: the shape of its JSON file. */
import type { Precision } from '../src/model/tensors.js';
import type { EngineInfo } from './engines/protocol.js';
import type { Peak } from './gpu/peaks.js';
import type { Machine } from './machine.js';
import type { Samples } from './measure.js';
import type { Rate } from './work.js';
import type { StepCosts } from './works/step.js';

export interface WorkSummary {
  readonly name: string;
  readonly unit: 'GFLOP/s' | 'GB/s';
  readonly rate: number;
  /** Of the ceiling of its rate, from the same run; absent for the ceilings themselves. */
  readonly share?: number;
  readonly milliseconds: number;
  readonly gpuMilliseconds?: number;
  /** Distance of the quartiles over the median. */
  readonly iqr: number;
  readonly samples: number;
}

/** What a training step tells beside its time. */
export interface StepResult {
  readonly name: string;
  readonly kind: string;
  readonly parameters: number;
  readonly tokens: number;
  readonly tokensPerSecond: number;
  readonly activationBytes: number;
  readonly costs: StepCosts;
  /** Milliseconds to write, encode and submit, median. */
  readonly submitMilliseconds: number;
  /** Everything but the dispatches, as a share of the step: (wall − GPU) / wall of one run, timestamps included. */
  readonly hostShare?: number;
}

/** A bar, what was measured, and whether it is reached. */
export interface Bar {
  readonly what: string;
  readonly bar: string;
  readonly measured: string;
  /** Undefined where it could not be measured; `measured` says why. */
  readonly reached: boolean | undefined;
}

export interface EngineResult extends Partial<EngineInfo> {
  readonly name: string;
  readonly webgpu: boolean;
  /** Why it did not run at all. */
  readonly missing?: string;
}

/** One engine on one work: samples, or why there are none. */
export interface PeerRow {
  readonly engine: string;
  /** Milliseconds of one time. */
  readonly wall: number[];
  readonly check?: string;
  /** Not installed, cannot do it, failed, or gave a wrong result: no speed is quoted. */
  readonly refused?: string;
  readonly costs?: Partial<StepCosts>;
  readonly losses?: readonly number[];
}

export interface PeerWork {
  readonly name: string;
  readonly kind: string;
  readonly flops: number;
  readonly bytes: number;
  readonly rate: Rate;
  readonly tokens?: number;
  readonly rows: readonly PeerRow[];
}

export interface PeerResults {
  readonly engines: readonly EngineResult[];
  readonly works: readonly PeerWork[];
}

export interface KernelResults {
  /** What the adapter has no room for, by its limits. */
  readonly skipped: readonly string[];
  readonly samples: readonly Samples[];
  readonly steps: readonly StepResult[];
}

/** A part of `bench gpu`. */
export interface GpuPart {
  readonly name: string;
  readonly seconds: number;
  readonly state: 'done' | 'skipped' | 'failed';
  readonly reason?: string;
}

/** A work in the shipped variants, in tuned ones, or by PyTorch: samples, or why there are none. */
export interface GpuRow {
  readonly work: string;
  readonly engine: string;
  /** Milliseconds of one time. */
  readonly wall: readonly number[];
  readonly gpuMilliseconds?: number;
  readonly refused?: string;
  readonly precision?: Precision;
  readonly flops?: number;
  readonly bytes?: number;
  readonly rate?: Rate;
  readonly check?: string;
  /** Of a step. */
  readonly tokens?: number;
  readonly peakBytes?: number;
}

export interface GpuResults {
  /** How many checks of the audit passed and failed, and what was audited. */
  readonly audit?: { readonly passed: number; readonly failed: number; readonly of: readonly string[] };
  readonly parts: readonly GpuPart[];
  /** Those that had not begun or not ended when this was written. */
  readonly unfinished: readonly string[];
  readonly seconds: number;
  /** PyTorch and its GPU, or why there is none. */
  readonly torch: string;
  /** GFLOP/s that the GPU reaches at most, and who says so. */
  readonly peak?: Peak;
  readonly rows: readonly GpuRow[];
}

export interface BenchmarkResult extends KernelResults {
  readonly format: 1;
  readonly machine: Machine;
  readonly summary: readonly WorkSummary[];
  readonly peers?: PeerResults;
  readonly gpu?: GpuResults;
  readonly bars: readonly Bar[];
}
