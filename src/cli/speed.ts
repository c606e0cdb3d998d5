/** Measures briefly how fast this machine trains, to tell the time that a plan or a run will take. */
import { messageOf } from '../errors.js';
import { cacheFolder } from '../files.js';
import { type Device, type DryRun, openDevice, type RunConfig } from '../index.js';
import { countParameters, flopsPerToken } from '../model/parameters.js';
import { percent } from '../report/numbers.js';
import { evaluationCost } from '../run/evaluations.js';
import { microBatchFlops, probeFlops, probeModel, type SpeedProbe, timeMicroBatch, timeProbe } from '../run/speed.js';
import { variantsForStart } from '../run/variants.js';

export interface MeasuredSpeed {
  readonly adapter: string;
  readonly driver: string;
  /** The parameters of the model that was measured. */
  readonly parameters: number;
  readonly tokensPerSecond: number;
  /** 6 · parameters · tokens per second. */
  readonly flopsPerSecond: number;
}

/** Trains presets on random tokens for some seconds: the largest of the probes that the adapter does in good time. */
export async function measureSpeed(adapter: string | undefined): Promise<MeasuredSpeed> {
  const device = await openDevice({ adapter });
  try {
    const { speed, timed } = await timeProbes(device, Number.POSITIVE_INFINITY);
    const { name, driver } = device.adapter;
    const config = probeModel(timed!);
    const { total: parameters } = countParameters(config);
    const tokensPerSecond = speed / flopsPerToken(config);
    return { adapter: name, driver, parameters, tokensPerSecond, flopsPerSecond: 6 * parameters * tokensPerSecond };
  } finally {
    device.close();
  }
}

/** The time that a run will take, with its evaluations, or why that is not known. */
export type RunTime =
  | {
      readonly seconds: number;
      readonly tokensPerSecond: number;
      readonly flopsPerSecond: number;
      /** Says what was timed. */
      readonly basis: string;
    }
  | { readonly missing: string };

/** The models that are timed where the run itself may be slow to try; the second one is for fast adapters. */
const PROBES: readonly SpeedProbe[] = [
  { preset: 'small', sequences: 4 },
  { preset: 'large', sequences: 64 },
];
/**
 * FLOP/s of the slowest adapter known, on a busy machine. What it does quickly needs no look at a smaller model first.
 */
const SLOWEST = 2e9;
/** A micro-batch that is expected to take longer than this is not tried. */
const MOST_SECONDS = 2;
/** How many times as long a step takes: in layers that are recomputed the forward pass, a third of it, runs again. */
const recomputed = (every: number): number => 1 + 1 / (3 * every);

/**
 * The FLOP/s of the adapter, by the largest probe that it does in good time; none is timed once `flops` are known to be
 * quick.
 */
async function timeProbes(
  device: Device,
  flops: number,
): Promise<{ readonly speed: number; readonly timed: SpeedProbe | undefined }> {
  let speed = SLOWEST;
  let timed: SpeedProbe | undefined;
  for (const probe of PROBES) {
    if (flops / speed <= MOST_SECONDS || (timed && probeFlops(probe) / speed > MOST_SECONDS)) break;
    speed = await timeProbe(device, probe);
    timed = probe;
  }
  return { speed, timed };
}

/**
 * Times a few micro-batches of the run itself where they are quick, with the kernels that were tuned for it before. For
 * a larger run it divides the run's FLOPs by the speed of a smaller model. Either takes some seconds.
 */
export async function measureRun({ run, memory, adapter }: DryRun, config: RunConfig): Promise<RunTime> {
  if (memory.refusals.length > 0) return { missing: 'this adapter would refuse the run' };
  const timeOf = (flopsPerSecond: number, basis: string): RunTime => ({
    seconds: (run.tokens * run.flopsPerToken + (evaluationCost(run)?.flops ?? 0)) / flopsPerSecond,
    tokensPerSecond: flopsPerSecond / run.flopsPerToken,
    flopsPerSecond,
    basis,
  });
  const stepFlops = microBatchFlops(run);
  try {
    const device = await openDevice({ adapter: `#${adapter.number}` });
    try {
      const { speed, timed } = await timeProbes(device, stepFlops);
      if (stepFlops / speed > MOST_SECONDS) {
        const basis =
          `by the FLOP/s of the preset '${timed!.preset}', timed on ${adapter.name}, ` +
          'since a micro-batch of the run takes too long to be tried';
        if (run.checkpointing === 'none') return timeOf(speed, basis);
        const every = run.checkpointing === 'layer' ? 1 : run.checkpointing;
        const more = every === 1 ? 'a third' : percent(recomputed(every) - 1);
        return timeOf(speed / recomputed(every), `${basis}, and ${more} more for checkpointing`);
      }
      const variants = await variantsForStart(adapter, run, { ...config, tuneSeconds: 0 }, { folder: cacheFolder() });
      const seconds = await timeMicroBatch(device, run, variants);
      return timeOf(stepFlops / seconds, `by a few of the run's micro-batches, timed on ${adapter.name}`);
    } finally {
      device.close();
    }
  } catch (error) {
    return { missing: `this adapter could not be timed: ${messageOf(error)}` };
  }
}
