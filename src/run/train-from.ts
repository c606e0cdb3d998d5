/** The part that all runs share: a model that is ready is trained to its end. */
import type { BestEvaluation } from '../checkpoint/training-record.js';
import type { MixtureState } from '../data/mixture.js';
import type { Device } from '../gpu/device.js';
import type { Model } from '../model/model.js';
import { ALONE, type RankGroup } from '../parallel/ranks.js';
import { Trainer } from '../train/step.js';
import { makeOuterStep } from './checkpoint.js';
import type { RunSummary, TrainContext, TrainObserver } from './context.js';
import type { HealthOptions } from './health.js';
import { train } from './loop.js';
import { mixtureOf } from './mixture.js';
import type { ResolvedRun } from './resolved.js';
import type { Data } from './run-data.js';
import { trainerSettings } from './step-shape.js';

export interface RunOptions {
  readonly observer?: TrainObserver | undefined;
  /** Aborting this signal ends the run after the current step, with a checkpoint. */
  readonly signal?: AbortSignal | undefined;
  /** An open device to use; by default the run opens the configured one and closes it. */
  readonly device?: Device | undefined;
  /** How the run looks at gradients, weights and updates every few steps; it writes health.jsonl, and warns. */
  readonly health?: HealthOptions | undefined;
  /**
   * The seconds without an answer after which the device is taken for lost, at least: 20 times what a group of steps
   * took where that is more, and not before steps have run. By default 300; with 0 it is waited for without an end.
   */
  readonly hangSeconds?: number | undefined;
  /** Whether the files that are read are compared with their checksums first; by default they are. */
  readonly verify?: boolean | undefined;
  /** The ranks that train the run together; each of them calls this. Rank 0 writes the folder and is the observed. */
  readonly ranks?: RankGroup | undefined;
}

/** Where a run begins, if not at the start of everything. */
interface Beginning {
  readonly mixture?: MixtureState;
  /** The checkpoint of its own that a run is resumed from. */
  readonly checkpoint?: string;
  readonly best?: BestEvaluation | undefined;
}

/** Trains `model`; `prepare` puts back what the trainer goes on with, and says where the run begins. */
export async function trainFrom(
  device: Device,
  folder: string,
  run: ResolvedRun,
  { model, companions, base }: Pick<TrainContext, 'companions' | 'base'> & { readonly model: Model },
  data: Data,
  options: RunOptions,
  prepare: (trainer: Trainer) => Beginning,
): Promise<RunSummary> {
  let trainer: Trainer | undefined;
  try {
    const { ranks = ALONE } = options;
    const mixture = mixtureOf(run, data);
    trainer = await Trainer.create(model, trainerSettings(run, ranks.size));
    const beginning = prepare(trainer);
    if (beginning.mixture) mixture.restore(beginning.mixture);
    const isResumed = beginning.checkpoint !== undefined;
    const outer =
      run.parallel === 'diloco' ? await makeOuterStep(run, trainer, ranks, beginning.checkpoint) : undefined;
    return await train({
      folder,
      run,
      device,
      trainer,
      mixture,
      data,
      companions,
      base,
      isResumed,
      best: beginning.best,
      ...options,
      ranks,
      outer,
    });
  } finally {
    device.patience = Number.POSITIVE_INFINITY;
    trainer?.destroy();
    model.destroy();
  }
}
