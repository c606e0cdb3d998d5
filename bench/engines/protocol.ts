/**
 * How the benchmark talks with an engine in a process of its own: a line of JSON for a request on its standard input, a
 * line for the answer on its file descriptor 3. Arrays are raw little-endian files in a folder that the task names, so
 * that an engine may be written in any language.
 */
import type { MatmulForm } from '../../src/kernels/matmul-variant.js';
import type { ModelConfig } from '../../src/model/config.js';
import type { Precision } from '../../src/model/tensors.js';
import type { StepCosts } from '../works/step.js';

/** The same work for every engine. Inputs are `<folder>/<name>.f32` or `.u32`. */
export type Task = { readonly folder: string } & (
  | { readonly work: 'matmul'; readonly size: number }
  | { readonly work: 'attention'; readonly B: number; readonly T: number; readonly H: number; readonly D: number }
  | { readonly work: 'adamw'; readonly count: number; readonly settings: AdamwTask }
  | {
      readonly work: 'step';
      readonly B: number;
      readonly T: number;
      readonly model: StepModel;
      readonly parameters: readonly StepParameter[];
      readonly settings: AdamwTask & { readonly clip: number };
      /** Batches in `batches.u32` [steps, B, T+1]: the engine trains on each once, and times the first. */
      readonly steps: number;
    }
);

/** A work of `bench gpu`, of values that the engine draws itself; several are kept ready, by their names. */
export type CudaTask = { readonly name: string } & (
  | {
      readonly work: 'matmul';
      readonly form: MatmulForm;
      readonly size: number;
      readonly precision: Precision;
    }
  | {
      readonly work: 'attention';
      readonly B: number;
      readonly T: number;
      readonly H: number;
      readonly D: number;
      readonly precision: Precision;
    }
  | { readonly work: 'adamw'; readonly count: number }
  | {
      readonly work: 'step';
      readonly B: number;
      readonly T: number;
      readonly model: ModelConfig;
      readonly precision: Precision;
      readonly compiled: boolean;
      /** Whether the parameters are updated: else forward and backward alone. */
      readonly update: boolean;
    }
);

export interface AdamwTask {
  readonly lr: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Counts from 1, for the bias corrections. */
  readonly step: number;
}

export interface StepModel {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
}

export interface StepParameter {
  readonly name: string;
  readonly shape: readonly number[];
  readonly decay: boolean;
}

/** What an engine says of itself. */
export interface EngineInfo {
  readonly version: string;
  /** The adapter or processor that it runs on. */
  readonly device: string;
  readonly note?: string;
  /** What makes it slower here than it need be: it is then no measure of others. */
  readonly handicap?: string | null;
}

/** An engine's answer to a task, after a first run: its results lie in their files. */
export type Prepared =
  | { readonly unsupported: string }
  | {
      readonly check?: string;
      readonly losses?: readonly number[];
      /** `peakBytes` and the others where the engine can be watched. */
      readonly costs?: Partial<StepCosts>;
    };

export type Request =
  /** Runs the task once and writes its results as `<results>/<name>.f32`. */
  | { readonly do: 'prepare'; readonly task: Task | CudaTask; readonly results?: string | undefined }
  /** `work`: which, of an engine that keeps several ready. */
  | { readonly do: 'measure'; readonly seconds: number; readonly work?: string | undefined }
  | { readonly do: 'dispose' };

export type Answer<Value> = { readonly value: Value } | { readonly error: string };

/** A task that is ready to be timed, inside the engine's process. */
export interface PreparedTask {
  /** Results to be checked, from the first run. */
  readonly results?: Readonly<Record<string, Float32Array>>;
  readonly check?: string;
  readonly losses?: readonly number[];
  readonly costs?: Partial<StepCosts>;
  /** Repeats it and waits for the end. */
  run(times: number): Promise<void>;
  /** How often one repetition does the work; once unless given. */
  readonly timesPerRun?: number;
  dispose?(): Promise<void> | void;
}

/** What an engine's module exports, as `open`. */
export interface Engine extends EngineInfo {
  prepare(task: Task): Promise<PreparedTask | { readonly unsupported: string }>;
}
export type OpenEngine = (adapter: string) => Promise<Engine>;
