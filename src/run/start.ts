/** A training run that is started: from random weights or by CPT; or resumed where it has begun. */
import { join } from 'node:path';
import { recordOfBase } from '../checkpoint/adapter-base.js';
import { notesOfMarks, readCompanions, withMarks } from '../checkpoint/companions.js';
import { findModelFolder, listCheckpoints } from '../checkpoint/find.js';
import { loadLoraModel } from '../checkpoint/lora-model.js';
import { checkModelFolder, loadModel } from '../checkpoint/model-folder.js';
import { readTrainingState } from '../checkpoint/training-record.js';
import { checkModelFiles } from '../checkpoint/whole.js';
import { UserError } from '../errors.js';
import { writeFileWhole } from '../files.js';
import { initialWeights } from '../model/init.js';
import { initialAdapter } from '../model/lora.js';
import { Model } from '../model/model.js';
import { ALONE } from '../parallel/ranks.js';
import { adapting } from './adapt.js';
import { restoreTrainer } from './checkpoint.js';
import type { RunConfig } from './config.js';
import type { RunSummary } from './context.js';
import { notesBefore, resolve } from './dry-run.js';
import { CONFIG, holdsRun, isUnbegun, METRICS, removeRun } from './folder.js';
import { withClaim, withDevice } from './held.js';
import { agree, sharedRun } from './parallel.js';
import { resumeClaimed, resumeSurviving } from './resume.js';
import { checkDataFiles, type Data, openData } from './run-data.js';
import { surviving } from './survive.js';
import { type RunOptions, trainFrom } from './train-from.js';
import { variantsForStart, variantsOfAll } from './variants.js';

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
