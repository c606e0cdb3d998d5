/** A training run from its configuration to its last checkpoint: started new, by CPT, or resumed. */
import { existsSync } from 'node:fs';
import { basename, join, resolve as resolvePath } from 'node:path';
import { baseOf, checkBase, recordOfBase } from '../checkpoint/adapter-base.js';
import { notesOfMarks, readCompanions, withMarks } from '../checkpoint/companions.js';
import { checkpointFolder, findModelFolder, listCheckpoints } from '../checkpoint/find.js';
import { loadLoraModel, openAdapters } from '../checkpoint/lora-model.js';
import { checkModelFolder, loadModel } from '../checkpoint/model-folder.js';
import { type BaseRecord, type BestEvaluation, readTrainingState } from '../checkpoint/training-record.js';
import { checkModelFiles, damageOfCheckpoint, latestWhole, notesOfChecksums } from '../checkpoint/whole.js';
import type { MixtureState } from '../data/mixture.js';
import { UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import type { Device } from '../gpu/device.js';
import type { VariantTable } from '../kernels/variants.js';
import { initialWeights } from '../model/init.js';
import { initialAdapter } from '../model/lora.js';
import { Model } from '../model/model.js';
import { ALONE, type RankGroup } from '../parallel/ranks.js';
import { Trainer } from '../train/step.js';
import { adapting } from './adapt.js';
import { makeOuterStep, restoreAverage, restoreTrainer } from './checkpoint.js';
import type { RunConfig } from './config.js';
import type { RunSummary, TrainContext, TrainObserver } from './context.js';
import { notesBefore, resolve } from './dry-run.js';
import {
  CONFIG,
  checkpointNamed,
  holdsRun,
  isUnbegun,
  METRICS,
  mendCheckpoints,
  readRunConfig,
  removeRun,
  setAsideAfter,
} from './folder.js';
import { checkWatched, HEALTH_FILE, type HealthOptions } from './health.js';
import { withClaim, withDevice } from './held.js';
import { train } from './loop.js';
import { MetricsFile } from './metrics.js';
import { mixtureOf } from './mixture.js';
import { agree, sharedRun } from './parallel.js';
import type { ResolvedRun } from './resolved.js';
import { checkDataFiles, type Data, openData } from './run-data.js';
import { trainerSettings } from './step-shape.js';
import { surviving, type WaitOptions } from './survive.js';
import { variantsForResume, variantsForStart, variantsOfAll } from './variants.js';

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

export interface ResumeOptions extends RunOptions {
  /** The name of the checkpoint's folder to go on from; by default the latest. Later ones are moved aside. */
  readonly checkpoint?: string | undefined;
  /** Leaves out lines of metrics that are broken, in place of an error. */
  readonly dropBadLines?: boolean | undefined;
}

export interface StartOptions extends RunOptions {
  /** The model to continue (CPT): a checkpoint, a model folder, or a run. */
  readonly from?: string | undefined;
  /** Takes smaller micro-batches of the same batch where the device has no memory for those that were asked for. */
  readonly adapt?: boolean | undefined;
  /**
   * Takes the fastest kernel variants: those that the folder `cache` holds. The rest is tuned before the run starts,
   * for about the configuration's `tuneSeconds`, and kept there. By default the run takes the shipped variants.
   */
  readonly tune?: { readonly cache: string } | undefined;
}

/**
 * Starts a run: from random weights, or from the model of `from`.
 * @throws UserError when the folder holds a run already or another process trains it, or configuration, data and
 * adapter don't fit together.
 * @example
 * import { parseConfig, startRun } from 'babelgrad';
 *
 * const sources = [{ name: 'en', path: 'data/en' }];
 * const fields = { out: 'runs/english', sources, preset: 'tiny', batchTokens: 512, tokens: 5120, seed: 1 };
 * const { heldOut, checkpoint } = await startRun(parseConfig(fields), {
 *   observer: { onStep: ({ step, loss }) => console.log(step, loss) },
 * });
 * console.log(heldOut.en?.loss, checkpoint);
 */
export function startRun(config: RunConfig, options: StartOptions = {}): Promise<RunSummary> {
  return withClaim(config.out, options.ranks, () => startClaimed(config, options));
}

async function startClaimed(config: RunConfig, options: StartOptions): Promise<RunSummary> {
  const { ranks = ALONE } = options;
  if (ranks.size > 1 && options.adapt) {
    throw new UserError('--adapt is for one process: ranks that fail apart cannot start again together');
  }
  if (!ranks.isLead) return startFresh(config, options);
  if (isUnbegun(config.out)) removeRun(config.out);
  else if (holdsRun(config.out)) {
    throw new UserError(
      `'${config.out}' already holds a run; choose another folder, ` +
        `or continue it with 'babelgrad resume ${config.out}'`,
    );
  }
  return surviving(
    config.out,
    options,
    () => adapting(config, options, given => startFresh(given, options)),
    resumeClaimed,
  );
}

async function startFresh(config: RunConfig, options: StartOptions): Promise<RunSummary> {
  const checkpoint = options.from === undefined ? undefined : findModelFolder(options.from);
  const data = openData(config.sources, config.heldOut);
  const { ranks = ALONE } = options;
  return withDevice(options, config.adapter, data, async device => {
    const checked = checkpoint ? [...checkModelFolder(checkpoint), ...notesOfMarks(checkpoint, data.marks)] : [];
    const resolved = sharedRun(resolve(config, checkpoint, data, device.adapter, options.health), ranks.size);
    await agree(ranks, resolved, data, device);
    const { signal, observer, tune } = options;
    const verified = options.verify === false ? [] : await checkFiles(data, checkpoint);
    for (const note of [...verified, ...checked, ...notesBefore(config, resolved)]) {
      observer?.onNote?.(note);
    }
    const search = { folder: tune?.cache, signal, observer };
    const { variants, kernels } = await variantsOfAll(device.adapter, resolved, ranks, () =>
      variantsForStart(device.adapter, resolved, config, search),
    );
    const run = { ...resolved, kernels };
    const { precision, weightType, lora, seed } = run;
    const base = lora && (await recordOfBase(checkpoint!, options.verify !== false));
    const model = lora
      ? await loadLoraModel(device, checkpoint!, { precision, variants, lora, adapter: initialAdapter(seed) })
      : checkpoint
        ? await loadModel(device, checkpoint, { precision, weightType, variants })
        : await Model.create(device, run.model, initialWeights(run.model, seed), { precision, weightType, variants });
    const source = checkpoint ? readCompanions(checkpoint) : undefined;
    const companions = withMarks(source, data.tokenizerJson, data.marks);
    return trainFrom(device, config.out, run, { model, companions, base }, data, options, trainer => {
      if (run.optimizerState === 'keep') restoreTrainer(trainer, checkpoint!, 0);
      if (ranks.isLead) {
        writeFileWhole(join(config.out, CONFIG), `${JSON.stringify(run, null, 2)}\n`);
        writeFileWhole(join(config.out, METRICS), '');
      }
      return run.dataOrder === 'continue' ? { mixture: readTrainingState(checkpoint!).mixture } : {};
    });
  });
}

/** Checks the files that a run starts from. @returns what the user should know. @throws UserError naming a bad one. */
async function checkFiles(data: Data, checkpoint: string | undefined): Promise<string[]> {
  const ofModel = checkpoint === undefined ? [] : await checkModelFiles(checkpoint, { withMoments: true });
  return [...ofModel, ...(await checkDataFiles(data))];
}

/**
 * Goes on with a run from its latest checkpoint, to the same bits as if it had never stopped.
 * @throws UserError when the folder holds no run, no checkpoint, its data has changed, or another process trains it.
 * @example
 * import { resumeRun } from 'babelgrad';
 *
 * const { status, step } = await resumeRun('runs/english');
 * console.log(status, step);
 */
export async function resumeRun(folder: string, options: ResumeOptions = {}): Promise<RunSummary> {
  readRunConfig(folder); // a claim would make the folder
  return withClaim(folder, options.ranks, () => resumeSurviving(folder, options));
}

/**
 * Starts a run, or goes on with it where it has a checkpoint.
 * @throws UserError as `startRun` and `resumeRun`.
 */
export function startOrResumeRun(config: RunConfig, options: StartOptions = {}): Promise<RunSummary> {
  return withClaim(config.out, options.ranks, () => startOrResumeClaimed(config, options));
}

/** Does the same for a caller that has claimed the folder. */
export async function startOrResumeClaimed(config: RunConfig, options: StartOptions): Promise<RunSummary> {
  const { out } = config;
  return listCheckpoints(out).length > 0 ? resumeSurviving(out, options) : startClaimed(config, options);
}

/** Goes on from the checkpoint that is named at first, and after the loss of a device from the latest. */
function resumeSurviving(folder: string, { checkpoint, ...options }: ResumeOptions): Promise<RunSummary> {
  return surviving(folder, options, () => resumeClaimed(folder, { ...options, checkpoint }), resumeClaimed);
}

async function resumeClaimed(folder: string, options: ResumeOptions & WaitOptions): Promise<RunSummary> {
  const { checkpoint, ranks = ALONE } = options;
  const run = sharedRun(readRunConfig(folder), ranks.size);
  checkWatched(run, options.health);
  if (ranks.isLead) mendCheckpoints(folder);
  await ranks.gather('mended');
  const latest = checkpoint === undefined ? listCheckpoints(folder).at(-1) : checkpointNamed(folder, checkpoint);
  if (!latest)
    throw new UserError(`the run '${folder}' has no checkpoint yet; the command that started it starts it again`);
  if (run.lora && options.verify !== false) await checkBase(latest.folder);
  if (options.verify !== false) await checkCheckpoint(folder, latest);
  const data = openData(run.sources, run.heldOut);
  return withDevice(options, run.adapter ?? undefined, data, async device => {
    const changed = data.sources.find(
      ({ tokens }, i) => tokens.index.tokenizer !== run.tokenizer || tokens.trainTokens !== run.sources[i]!.trainTokens,
    );
    if (changed) {
      throw new UserError(
        `the data '${changed.tokens.folder}' is not what '${folder}' was started with; ` +
          'a run needs its own data to go on',
      );
    }
    await agree(ranks, run, data, device);
    const notes = options.verify === false ? [] : await checkDataFiles(data);
    for (const note of [...notes, ...notesOfChecksums(latest.folder, 'training.json')])
      options.observer?.onNote?.(note);
    const variants = variantsForResume(device.adapter, run, options.observer);
    const { model, base } = await loadCheckpoint(device, run, latest.folder, variants);
    const companions = readCompanions(latest.folder);
    return trainFrom(device, folder, run, { model, companions, base }, data, options, trainer => {
      const state = readTrainingState(latest.folder);
      restoreTrainer(trainer, latest.folder, state.step, state.guard);
      restoreAverage(trainer, latest.folder);
      // of a later best one, which was set aside, an earlier checkpoint knows nothing, and its own may be gone
      const best = state.best && existsSync(checkpointFolder(folder, state.best.step)) ? state.best : undefined;
      const resumption = { mixture: state.mixture, checkpoint: latest.folder, best };
      if (!ranks.isLead) return resumption;
      for (const name of [METRICS, HEALTH_FILE]) {
        const path = join(folder, name);
        if (!existsSync(path)) continue;
        for (const note of new MetricsFile(path).truncate(state.step, options.dropBadLines)) {
          options.observer?.onNote?.(note);
        }
      }
      for (const aside of setAsideAfter(folder, state.step)) {
        options.observer?.onNote?.(`a later checkpoint was moved to '${aside}'; remove it when nobody needs it`);
      }
      return resumption;
    });
  });
}

/** Loads what a run goes on with: its model, or adapters beside their base, which may have moved. */
async function loadCheckpoint(
  device: Device,
  { precision, weightType, lora }: ResolvedRun,
  checkpoint: string,
  variants: VariantTable,
): Promise<{ readonly model: Model; readonly base?: BaseRecord }> {
  if (!lora) return { model: await loadModel(device, checkpoint, { precision, weightType, variants }) };
  const { base } = readTrainingState(checkpoint);
  if (!base) throw new UserError(`'${join(checkpoint, 'training.json')}' does not say what its adapters are beside`);
  const path = baseOf(checkpoint);
  const { read, close } = openAdapters(checkpoint);
  try {
    const model = await loadLoraModel(device, path, { precision, variants, lora, adapter: read });
    return { model, base: { ...base, path: resolvePath(path) } };
  } finally {
    close();
  }
}

/** Checks that a run can go on from a checkpoint. @throws UserError naming what is damaged, and how to go on. */
async function checkCheckpoint(run: string, { step, folder }: { readonly step: number; readonly folder: string }) {
  const damage = await damageOfCheckpoint(folder);
  if (damage === undefined) return;
  const whole = await latestWhole(run, step);
  const way =
    whole === undefined
      ? 'no earlier checkpoint is whole, so the run has to be started again, in another folder'
      : `'${whole}' is whole; go on from it with 'babelgrad resume ${run} --checkpoint ${basename(whole)}'`;
  throw new UserError(`${damage}; ${way}`);
}

/** Where a run begins, if not at the start of everything. */
interface Beginning {
  readonly mixture?: MixtureState;
  /** The checkpoint of its own that a run is resumed from. */
  readonly checkpoint?: string;
  readonly best?: BestEvaluation | undefined;
}

async function trainFrom(
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
