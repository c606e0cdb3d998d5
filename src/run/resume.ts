/** A run that goes on from a checkpoint of its own, to the same bits as if it had never stopped. */
import { existsSync } from 'node:fs';
import { basename, join, resolve as resolvePath } from 'node:path';
import { baseOf, checkBase } from '../checkpoint/adapter-base.js';
import { readCompanions } from '../checkpoint/companions.js';
import { checkpointFolder, listCheckpoints } from '../checkpoint/find.js';
import { loadLoraModel, openAdapters } from '../checkpoint/lora-model.js';
import { loadModel } from '../checkpoint/model-folder.js';
import { type BaseRecord, readTrainingState } from '../checkpoint/training-record.js';
import { damageOfCheckpoint, latestWhole, notesOfChecksums } from '../checkpoint/whole.js';
import { UserError } from '../errors.js';
import type { Device } from '../gpu/device.js';
import type { VariantTable } from '../kernels/variants.js';
import type { Model } from '../model/model.js';
import { ALONE } from '../parallel/ranks.js';
import { restoreAverage, restoreTrainer } from './checkpoint.js';
import type { RunSummary } from './context.js';
import { checkpointNamed, METRICS, mendCheckpoints, readRunConfig, setAsideAfter } from './folder.js';
import { checkWatched, HEALTH_FILE } from './health.js';
import { withClaim, withDevice } from './held.js';
import { MetricsFile } from './metrics.js';
import { agree, sharedRun } from './parallel.js';
import type { ResolvedRun } from './resolved.js';
import { checkDataFiles, openData } from './run-data.js';
import { surviving, type WaitOptions } from './survive.js';
import { type RunOptions, trainFrom } from './train-from.js';
import { variantsForResume } from './variants.js';

export interface ResumeOptions extends RunOptions {
  /** The name of the checkpoint's folder to go on from; by default the latest. Later ones are moved aside. */
  readonly checkpoint?: string | undefined;
  /** Leaves out lines of metrics that are broken, in place of an error. */
  readonly dropBadLines?: boolean | undefined;
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

/** Goes on from the checkpoint that is named at first, and after the loss of a device from the latest. */
export function resumeSurviving(folder: string, { checkpoint, ...options }: ResumeOptions): Promise<RunSummary> {
  return surviving(folder, options, () => resumeClaimed(folder, { ...options, checkpoint }), resumeClaimed);
}

export async function resumeClaimed(folder: string, options: ResumeOptions & WaitOptions): Promise<RunSummary> {
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
