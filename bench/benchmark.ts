/**
 * The benchmark: works and the adapter's ceilings, checked, then timed in one interleaved run in this process; then the
 * other engines, each in a process of its own, while this one holds no device.
 */
import { UserError } from '../src/errors.js';
import type { AdapterDescription } from '../src/gpu/adapters.js';
import type { Device } from '../src/gpu/device.js';
import { openDevice } from '../src/gpu/open-device.js';
import { median } from '../src/median.js';
import type { MakeWork, Selection } from './catalogue.js';
import { engines } from './engines/engines.js';
import { describeMachine } from './machine.js';
import { measure, type Samples } from './measure.js';
import { comparePeers, peerBars } from './peers.js';
import type { BenchmarkResult, KernelResults, StepResult } from './result.js';
import { adamwBar, scalingBars, stepBars, summarise } from './summary.js';
import type { Work } from './work.js';
import { copyCeiling, fmaCeiling } from './works/ceilings.js';
import type { StepWork } from './works/step.js';

export interface BenchmarkOptions {
  readonly adapter?: string | undefined;
  readonly rounds: number;
  /** Seconds for each work in each round, about: at least one sample is taken. */
  readonly seconds: number;
  readonly onAdapter?: (adapter: AdapterDescription) => void;
  /** Works that are checked or measured; `details` says which. */
  readonly onProgress?: (done: number, total: number, details: string) => void;
}

/** @throws Error naming a work whose result is wrong; UserError when every size is beyond the adapter's limits. */
export async function benchmark(selection: Selection, options: BenchmarkOptions): Promise<BenchmarkResult> {
  const device = await openDevice({ adapter: options.adapter });
  let kernels: KernelResults;
  try {
    options.onAdapter?.(device.adapter);
    kernels = await measureKernels(device, selection.works, options);
  } finally {
    device.close();
  }
  const peers = selection.peers ? await comparePeers(engines(device.adapter), options) : undefined;
  return {
    format: 1,
    machine: describeMachine(device.adapter),
    ...kernels,
    summary: summarise(kernels.samples),
    ...(peers && { peers }),
    bars: [
      ...(peers ? peerBars(peers) : []),
      ...adamwBar(kernels.samples),
      ...stepBars(kernels.samples, kernels.steps),
      ...scalingBars(kernels.samples, kernels.steps),
    ],
  };
}

export async function measureKernels(
  device: Device,
  makes: readonly MakeWork[],
  { rounds, seconds, onProgress }: BenchmarkOptions,
): Promise<KernelResults> {
  const works: Work[] = [];
  const skipped: UserError[] = [];
  const all: readonly MakeWork[] = [fmaCeiling, copyCeiling, ...makes];
  const total = all.length * (rounds + 1);
  try {
    for (const [i, make] of all.entries()) {
      try {
        works.push(await make(device));
        onProgress?.(i + 1, total, `checked ${works.at(-1)!.name}`);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        skipped.push(error);
      }
    }
    if (skipped.length > 0 && skipped.length === makes.length) throw skipped[0];
    const report = (done: number, name: string) => onProgress?.(all.length + done, total, name);
    const samples = await measure(works, { rounds, seconds, onProgress: report });
    const steps = works.flatMap((work, i) => ('costs' in work ? [stepResult(work as StepWork, samples[i]!)] : []));
    return { samples, steps, skipped: skipped.map(({ message }) => message) };
  } finally {
    for (const work of works) work.destroy();
  }
}

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
