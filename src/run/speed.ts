/** Finds out how fast an adapter trains a run, with a few of its micro-batches. */
import { sizeOf } from '../autograd/tensor.js';
import type { Device } from '../gpu/device.js';
import type { VariantTable } from '../kernels/variants.js';
import type { ModelConfig } from '../model/config.js';
import { Model } from '../model/model.js';
import { flopsPerToken, type ParameterSpec } from '../model/parameters.js';
import type { TensorOptions } from '../model/tensors.js';
import { Random } from '../random.js';
import { Trainer, type TrainerOptions } from '../train/step.js';
import { mixtureOf } from './mixture.js';
import { newModel } from './resolve.js';
import type { ResolvedRun } from './resolved.js';
import { openData } from './run-data.js';
import { trainerSettings } from './step-shape.js';

/** The most steps that are timed, and below it the time after which no more are; at least one is. */
const MOST_STEPS = 3;
const TIMED_MS = 1000;
/** The number of values that a weight is filled with at a time. */
const PIECE = 2 ** 20;

/** Returns the FLOPs of a micro-batch, forward and backward. */
export const microBatchFlops = ({
  flopsPerToken,
  microBatch,
  contextLength,
}: Pick<ResolvedRun, 'flopsPerToken' | 'microBatch' | 'contextLength'>): number =>
  flopsPerToken * microBatch * contextLength;

/**
 * Returns the seconds of a micro-batch of the run's own data, forward, backward and AdamW. It is the mean of a few,
 * after one that compiles; by default with the shipped kernels.
 */
export async function timeMicroBatch(device: Device, run: ResolvedRun, variants?: VariantTable): Promise<number> {
  const data = openData(run.sources, run.heldOut);
  try {
    const mixture = mixtureOf(run, data, 0);
    const { precision, weightType, lora } = run;
    const options = { precision, weightType, variants, ...(lora && { lora, matrixType: lora.baseType }) };
    return await timeSteps(device, run.model, options, trainerSettings(run), () => mixture.next(run.microBatch));
  } finally {
    data.close();
  }
}

const PROBE = { vocabSize: 4096, T: 128 };

/** A preset on random tokens: a model that stands for others where these are too large to be tried. */
export interface SpeedProbe {
  readonly preset: string;
  /** The number of sequences of 128 tokens that run at once. */
  readonly sequences: number;
}

export const probeModel = ({ preset }: SpeedProbe): ModelConfig =>
  newModel({ preset, contextLength: PROBE.T }, PROBE.vocabSize);

export const probeFlops = (probe: SpeedProbe): number => flopsPerToken(probeModel(probe)) * probe.sequences * PROBE.T;

/** Returns the FLOP/s of a probe's steps, in f32. */
export async function timeProbe(device: Device, probe: SpeedProbe): Promise<number> {
  const random = new Random(0, 'tokens');
  const shape = { B: probe.sequences, T: PROBE.T };
  const sequences = Uint32Array.from({ length: shape.B * (shape.T + 1) }, () => random.integer(PROBE.vocabSize));
  return probeFlops(probe) / (await timeSteps(device, probeModel(probe), {}, shape, () => sequences));
}

/** Returns the seconds of a step. The weights are all alike, which takes as long as any others and no time to make. */
async function timeSteps(
  device: Device,
  config: ModelConfig,
  options: TensorOptions,
  settings: TrainerOptions,
  next: () => Uint32Array,
): Promise<number> {
  const model = await Model.create(device, config, alike, options);
  let trainer: Trainer | undefined;
  try {
    const made = await Trainer.create(model, { ...settings, microBatches: 1 });
    trainer = made;
    const step = async () => {
      await made.submit(next(), 1e-4);
      await made.reports();
    };
    await step();
    const started = performance.now();
    let steps = 0;
    do {
      await step();
      steps++;
    } while (steps < MOST_STEPS && performance.now() - started < TIMED_MS);
    return (performance.now() - started) / 1000 / steps;
  } finally {
    trainer?.destroy();
    model.destroy();
  }
}

function* alike({ shape }: ParameterSpec): Generator<Float32Array> {
  const size = sizeOf(shape);
  for (let start = 0; start < size; start += PIECE) yield new Float32Array(Math.min(PIECE, size - start)).fill(0.01);
}
