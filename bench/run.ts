/** The benchmark in this process: works and the adapter's ceilings, checked, then timed in one interleaved run. */
import type { Device } from '../src/gpu/device.js';
import type { MakeWork } from './catalogue.js';
import { describeMachine, type Machine } from './machine.js';
import { type MeasureOptions, measure, median, type Samples } from './measure.js';
import type { PeerResults } from './peers.js';
import type { Work } from './work.js';
import { copyCeiling, fmaCeiling } from './works/ceilings.js';
import type { StepCosts, StepWork } from './works/step.js';

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

export interface BenchmarkResult {
  readonly format: 1;
  readonly machine: Machine;
  readonly samples: readonly Samples[];
  readonly steps: readonly StepResult[];
  readonly peers?: PeerResults;
}

export interface BenchmarkOptions extends MeasureOptions {
  /** Before a work is made and checked. */
  readonly onPrepare?: (index: number, count: number) => void;
}

/** @throws Error naming a work whose result is wrong: nothing is timed then. */
export async function runBenchmark(
  device: Device,
  makes: readonly MakeWork[],
  options: BenchmarkOptions,
): Promise<BenchmarkResult> {
  const works: Work[] = [];
  try {
    const all: readonly MakeWork[] = makes.length > 0 ? [fmaCeiling, copyCeiling, ...makes] : [];
    for (const [i, make] of all.entries()) {
      options.onPrepare?.(i, all.length);
      works.push(await make(device));
    }
    const samples = await measure(works, options);
    const steps = works.flatMap((work, i) => ('costs' in work ? [stepResult(work as StepWork, samples[i]!)] : []));
    return { format: 1, machine: describeMachine(device.adapter), samples, steps };
  } finally {
    for (const work of works) work.destroy();
  }
}

/** How many works are measured for these: the ceilings come with them. */
export const countWorks = (makes: readonly MakeWork[]): number => (makes.length > 0 ? makes.length + 2 : 0);

function stepResult(work: StepWork, { wall, gpu, gpuWall }: Samples): StepResult {
  const { name, kind, parameters, tokens, activationBytes, costs, submitTimes } = work;
  return {
    name,
    kind,
    parameters,
    tokens,
    tokensPerSecond: (1000 * tokens) / median(wall),
    activationBytes,
    costs,
    submitMilliseconds: median(submitTimes),
    ...(gpu.length > 0 && { hostShare: median(gpu.map((time, i) => 1 - time / gpuWall[i]!)) }),
  };
}
