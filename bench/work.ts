/** What the benchmark measures: a piece of GPU work that can be run again and again. */
export interface Work {
  readonly name: string;
  readonly flops: number;
  /** Runs it `perRun` times, until the GPU is done. */
  run(): Promise<void>;
  readonly perRun: number;
  /** GPU milliseconds of one time: timestamps around each dispatch, summed. */
  gpuTime(): Promise<number>;
  destroy(): void;
}
