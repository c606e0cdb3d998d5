/**
 * Where the time of a subject goes: it is replayed with timestamps around each dispatch, and run without them, with
 * ceilings in between.
 */
import type { CommandSource } from '../autograd/plan.js';
import { UserError } from '../errors.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import type { Device } from '../gpu/device.js';
import type { Dispatch } from '../gpu/program.js';
import type { Timeline } from '../gpu/timeline.js';
import { median } from '../median.js';
import { CeilingTimer } from './ceilings.js';
import { bytesOfCall } from './cost.js';
import type { Subject } from './subject.js';

/** The ceilings of an adapter, each per second. */
export interface Ceilings {
  /** The rate of the multiply-add loop, in f32. */
  readonly flopsPerSecond: number;
  /** The bytes that the copy reads and writes. */
  readonly bytesPerSecond: number;
}

/** All calls of a kernel in one replay. */
export interface KernelTime {
  readonly label: string;
  readonly calls: number;
  /** The median over the replays of the time that its calls took together. */
  readonly milliseconds: number;
  /** The share of the GPU time of all kernels. */
  readonly share: number;
  /**
   * The FLOPs of all calls together, where their launchers count them: products and attention, which computing bounds.
   */
  readonly flops: number | undefined;
  /** The bytes of all calls together, where the ranges that they bind say it (see `bytesOfCall`). */
  readonly bytes: number | undefined;
  /** The rate in FLOP/s where FLOPs are counted, else in bytes/s, and as a share of that ceiling. */
  readonly rate: { readonly of: 'flops' | 'bytes'; readonly perSecond: number; readonly ofCeiling: number } | undefined;
}

export interface Profile {
  /** The kernels, the longest first. */
  readonly kernels: readonly KernelTime[];
  readonly ceilings: Ceilings;
  /** The GPU time of all kernels: the sum of their medians. */
  readonly gpuMilliseconds: number;
  /** The median time of a run without timestamps, until its results are there. */
  readonly wallMilliseconds: number;
  /**
   * Wall time less GPU time: encoding, submitting, waiting, copies. It is below 0 where a pass for each dispatch costs
   * more.
   */
  readonly hostMilliseconds: number;
  readonly tokensPerSecond: number;
  /** The replay whose GPU time is the median, or next to it. */
  readonly replay: Replay;
}

/** A dispatch, and the call that it was made of. */
export interface Replayed {
  readonly dispatch: Dispatch;
  readonly source: CommandSource | undefined;
}

export interface Replay {
  /** The dispatches, in the order of those of the timeline. */
  readonly dispatches: readonly Replayed[];
  readonly timeline: Timeline;
}

/**
 * Checks that the adapter has timestamps. Without them single dispatches would have to be waited for one by one, which
 * measures how often the host looks whether they are done.
 * @throws UserError where the adapter has none.
 */
export function checkTimestamps({ name, features }: AdapterDescription): void {
  if (features.includes('timestamp-query')) return;
  throw new UserError(
    `the adapter '${name}' has no timestamps (timestamp-query), and times of single kernels cannot be told by ` +
      "the host's clock; 'babelgrad bench' measures whole steps without, 'babelgrad profile --plan' needs none, " +
      'and --adapter takes another',
  );
}

export interface ProfileOptions {
  /** The number of replays, and of runs without timestamps. */
  readonly steps: number;
  readonly onProgress?: ((done: number) => void) | undefined;
}

/** Profiles a subject. @throws UserError as `checkTimestamps`. */
export async function profile(
  device: Device,
  subject: Subject,
  { steps, onProgress }: ProfileOptions,
): Promise<Profile> {
  checkTimestamps(device.adapter);
  const ceilingTimer = await CeilingTimer.create(device);
  const timelines: Timeline[] = [];
  const walls: number[] = [];
  const rates: Ceilings[] = [];
  try {
    // the first of each finds pages and caches cold
    await subject.run();
    await device.trace(subject.commands);
    await ceilingTimer.rates();
    for (let done = 0; done < steps; onProgress?.(++done)) {
      const started = performance.now();
      await subject.run();
      walls.push(performance.now() - started);
      timelines.push(await device.trace(subject.commands));
      rates.push(await ceilingTimer.rates());
    }
  } finally {
    ceilingTimer.destroy();
  }
  const ceilings = {
    flopsPerSecond: median(rates.map(({ flopsPerSecond }) => flopsPerSecond)),
    bytesPerSecond: median(rates.map(({ bytesPerSecond }) => bytesPerSecond)),
  };
  const dispatches = subject.commands
    .filter(command => command.kind === 'dispatch')
    .map((dispatch): Replayed => ({ dispatch, source: subject.sources.get(dispatch) }));
  const kernels = kernelTimes(dispatches, timelines, ceilings);
  const gpuMilliseconds = sum(kernels.map(({ milliseconds }) => milliseconds));
  const wallMilliseconds = median(walls);
  return {
    kernels,
    ceilings,
    gpuMilliseconds,
    wallMilliseconds,
    hostMilliseconds: wallMilliseconds - gpuMilliseconds,
    tokensPerSecond: (1000 * subject.tokens) / wallMilliseconds,
    replay: { dispatches, timeline: medianOf(timelines) },
  };
}

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);

function kernelTimes(
  dispatches: readonly Replayed[],
  timelines: readonly Timeline[],
  ceilings: Ceilings,
): KernelTime[] {
  const byLabel = new Map<string, number[]>();
  dispatches.forEach(({ dispatch: { label } }, i) => {
    const indices = byLabel.get(label);
    if (indices) indices.push(i);
    else byLabel.set(label, [i]);
  });
  const kernels = [...byLabel].map(([label, indices]) => {
    const calls = indices.map(i => dispatches[i]!.source?.call);
    const total = (counts: readonly (number | undefined)[]) =>
      counts.every(count => count !== undefined) ? sum(counts) : undefined;
    const milliseconds = median(
      timelines.map(({ dispatches: times }) => sum(indices.map(i => times[i]!.milliseconds))),
    );
    const flops = total(calls.map(call => call?.flops));
    const bytes = total(calls.map(call => call && bytesOfCall(call)));
    return { label, calls: indices.length, milliseconds, flops, bytes };
  });
  const whole = sum(kernels.map(({ milliseconds }) => milliseconds));
  return kernels
    .map(kernel => ({ ...kernel, share: kernel.milliseconds / whole, rate: rateOf(kernel, ceilings) }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
}

function rateOf(
  { flops, bytes, milliseconds }: Pick<KernelTime, 'flops' | 'bytes' | 'milliseconds'>,
  { flopsPerSecond, bytesPerSecond }: Ceilings,
): KernelTime['rate'] {
  const [of, count, ceiling] =
    flops === undefined ? (['bytes', bytes, bytesPerSecond] as const) : (['flops', flops, flopsPerSecond] as const);
  if (count === undefined) return undefined;
  const perSecond = (1000 * count) / milliseconds;
  return { of, perSecond, ofCeiling: perSecond / ceiling };
}

/** Returns the timeline whose GPU time is the median. */
function medianOf(timelines: readonly Timeline[]): Timeline {
  const timeOf = ({ dispatches }: Timeline) => sum(dispatches.map(({ milliseconds }) => milliseconds));
  const sorted = [...timelines].sort((a, b) => timeOf(a) - timeOf(b));
  return sorted[sorted.length >> 1]!;
}
