/** The norms of gradients at two batch sizes, of a checkpoint on the data of its run: what its noise is told from. */
import type { Batch } from '../data/mixture.js';
import type { Model } from '../model/model.js';
import { Trainer } from '../train/step.js';
import { mixtureOf } from './mixture.js';
import type { ResolvedRun } from './resolved.js';
import type { Data } from './run-data.js';
import { trainerSettings } from './step-shape.js';

export interface NoiseOptions {
  /** The sequences of a small batch, and of a large one: a multiple of it, and more. */
  readonly small: number;
  readonly large: number;
  /** How often the sequences of a large batch are drawn. */
  readonly draws: number;
  /** The seed of the order in which sequences are drawn. */
  readonly seed: number;
  /** Is told the sequences that were computed, of twice `draws` × `large`. */
  onProgress?(sequences: number): void;
  readonly signal?: AbortSignal | undefined;
}

/** The draws that are measured before the next are: an interruption loses no more. */
const AT_ONCE = 4;

/** A draw: squared norms of gradients, the mean over small batches and that over all their sequences; their loss. */
export interface GradientDraw {
  readonly small: number;
  readonly large: number;
  readonly loss: number;
}

/**
 * Measures the gradients of the parameters that a run trains, without an update: before clipping, and without the
 * noise of anything but the data. It takes no more memory than the run, if small batches are no larger than
 * micro-batches.
 * @returns fewer draws where the signal was aborted: all groups of four that were done, and what is whole of the last.
 * @throws Error when a gradient is not finite.
 */
export async function gradientNorms(
  run: ResolvedRun,
  model: Model,
  data: Data,
  { small, large, draws, seed, onProgress, signal }: NoiseOptions,
): Promise<GradientDraw[]> {
  const mixture = mixtureOf(run, data, seed);
  const batches = Array.from({ length: draws }, () => mixture.nextBatch(large));
  let sequences = 0;
  /** Returns the norm and the loss of each batch; the trainer goes before the next is made. */
  const measure = async (parts: readonly Batch[], each: number) => {
    using trainer = await Trainer.create(model, settingsOf(run, small, each / small));
    const found: { readonly norm: number; readonly loss: number }[] = [];
    for (const part of parts) {
      if (signal?.aborted) break;
      found.push(await gradientOf(trainer, part));
      sequences += each;
      onProgress?.(sequences);
    }
    return found;
  };
  const found: GradientDraw[] = [];
  for (let first = 0; first < draws && !signal?.aborted; first += AT_ONCE) {
    const group = batches.slice(first, first + AT_ONCE);
    const ofLarge = await measure(group, large);
    const ofSmall = await measure(
      group.flatMap(batch => split(batch, large / small)),
      small,
    );
    for (const [i, { norm, loss }] of ofLarge.entries()) {
      const own = ofSmall.slice((i * large) / small, ((i + 1) * large) / small);
      if (own.length < large / small) break;
      found.push({ small: own.reduce((sum, one) => sum + one.norm ** 2, 0) / own.length, large: norm ** 2, loss });
    }
  }
  return found;
}

/** The settings of a run's trainer that computes gradients of other batches, of all that the run ever trains. */
const settingsOf = (run: ResolvedRun, B: number, microBatches: number): ReturnType<typeof trainerSettings> => ({
  ...trainerSettings(run),
  B,
  microBatches,
  frozenSteps: 0,
  parameterGroups: run.parameterGroups?.map(({ frozenSteps: _, ...rule }) => rule),
  emaDecay: undefined,
});

/** The most halvings of the loss scale of f16 until a gradient does not overflow. */
const MOST_HALVINGS = 16;

/** Returns the norm of a batch's gradient: that of a step with a rate of 0, which leaves weights as they are. */
async function gradientOf(trainer: Trainer, { sequences, weights }: Batch): Promise<{ norm: number; loss: number }> {
  for (let halvings = 0; halvings <= MOST_HALVINGS; halvings++) {
    const { gradientNorm, loss, skipped } = await trainer.trainStep(sequences, 0, weights);
    if (Number.isFinite(gradientNorm) && Number.isFinite(loss)) return { norm: gradientNorm, loss };
    if (skipped !== 'overflow') break;
  }
  throw new Error('a gradient of this checkpoint is not finite, so that its noise has no scale');
}

/** Parts a batch into as many of equal size. */
function split({ sequences, weights }: Batch, count: number): Batch[] {
  const part = <Values extends Uint32Array | Float32Array>(values: Values, i: number) =>
    values.slice((i * values.length) / count, ((i + 1) * values.length) / count) as Values;
  return Array.from({ length: count }, (_, i) => ({
    sequences: part(sequences, i),
    weights: weights && part(weights, i),
  }));
}
