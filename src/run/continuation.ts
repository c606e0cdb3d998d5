/** How a run goes on with its source model: the learning rate, AdamW's moments, and what is frozen at first. */
import { dirname } from 'node:path';
import { isCheckpointFolder } from '../checkpoint/find.js';
import type { Origin } from '../checkpoint/training-record.js';
import { isStaged, type Weight } from '../data/shares.js';
import { UserError } from '../errors.js';
import type { ModelConfig } from '../model/config.js';
import { recipeFor } from '../model/recipe.js';
import { type ScheduleSettings, validateSchedule } from '../optim/schedule.js';
import type { DATA_ORDERS, OPTIMIZER_STATES, RunConfig } from './config.js';
import { isUnfinished } from './folder.js';
import type { ResolvedRun } from './resolved.js';

/**
 * Returns the learning-rate schedule.
 * @throws UserError when the fields don't fit each other, or an anneal does not know where to start.
 */
export function scheduleOf(config: RunConfig, model: ModelConfig, source: Origin | undefined): ScheduleSettings {
  const { schedule, warmup, minLearningRateRatio, decay } = config;
  const { cooldown, constantLearningRateRatio, cooldownShape, annealShape } = config;
  if (schedule === 'anneal' && !source) {
    throw new UserError('schedule anneal comes down from the rate of a source model; use it with cpt --from');
  }
  const standard = schedule === 'anneal' ? source!.learningRate : recipeFor(model).learningRate;
  const learningRate = config.learningRate ?? standard;
  if (!learningRate) {
    throw new UserError(
      `'${source!.checkpoint}' does not say at which learning rate it ended; ` +
        'give schedule anneal a learningRate to come down from',
    );
  }
  const shares = { warmup, minLearningRateRatio, decay, cooldown, constantLearningRateRatio };
  const settings = { schedule, learningRate, ...shares, cooldownShape, annealShape };
  validateSchedule(settings);
  return settings;
}

/**
 * Returns whether moments are kept or reset.
 * @throws UserError when a run from random weights is told what to do with moments.
 */
export function optimizerStateOf(config: RunConfig, source: Origin | undefined): (typeof OPTIMIZER_STATES)[number] {
  if (!source && config.optimizerState !== undefined) {
    throw new UserError('optimizerState is for cpt: a run from random weights has no moments to keep or reset');
  }
  return config.optimizerState ?? (config.schedule === 'anneal' ? 'keep' : 'reset');
}

/**
 * Returns whether the order of the data begins anew or goes on.
 * @throws UserError when it is to go on, and there is no source, one that was trained on other data, or shares change:
 * stages are parts of one run.
 */
export function dataOrderOf(
  { dataOrder, sources }: RunConfig,
  source: Origin | undefined,
): (typeof DATA_ORDERS)[number] {
  if (dataOrder === 'new') return dataOrder;
  if (!source) throw new UserError('dataOrder continue is for cpt: a run from random weights has no data to go on in');
  if (isStaged(sources) || source.sources?.some(({ stages }) => stages)) {
    const whose = isStaged(sources) ? 'this run' : `'${source.checkpoint}'`;
    throw new UserError(
      `dataOrder continue goes on with constant weights, and ${whose} has weights in stages, which are parts of its ` +
        'own budget; leave dataOrder out',
    );
  }
  const list = (mixture: readonly { readonly name: string; readonly weight: Weight }[] | undefined) =>
    mixture?.map(({ name, weight }) => `${name} (${weight})`).join(', ');
  const [before, now] = [list(source.sources), list(sources)];
  if (before === now) return dataOrder;
  throw new UserError(
    `dataOrder continue goes on in the data of the source, but '${source.checkpoint}' ` +
      `${before === undefined ? 'does not say what it was trained on' : `was trained on ${before}`}, ` +
      `and this run takes ${now}; leave dataOrder out`,
  );
}

/**
 * Returns the number of first steps that train the embedding and an untied head alone.
 * @throws UserError when there is no source, or the tokens are less than a step or more than the run's.
 */
export function freezeStepsOf(
  { freezeBodyTokens }: RunConfig,
  { steps, batchTokens }: { readonly steps: number; readonly batchTokens: number },
  source: Origin | undefined,
): number {
  if (freezeBodyTokens === undefined) return 0;
  if (!source) {
    throw new UserError('freezeBodyTokens is for cpt: with random weights there is nothing worth keeping frozen');
  }
  const frozen = Math.round(freezeBodyTokens / batchTokens);
  if (frozen < 1) {
    throw new UserError(`freezeBodyTokens ${freezeBodyTokens} is less than one batch of ${batchTokens}; raise it`);
  }
  if (frozen > steps) {
    throw new UserError(
      `freezeBodyTokens ${freezeBodyTokens} is more than the run's ${steps * batchTokens} tokens; lower it, ` +
        'or raise tokens',
    );
  }
  return frozen;
}

/** A source with more tokens per parameter counts as over-trained: five times the 20 of Hoffmann et al. (2022). */
const OVER_TRAINED = 100;

/** Says what a user should know of a run before it starts. */
export function notesOf({ source, lora }: Pick<ResolvedRun, 'source' | 'lora'>): string[] {
  if (!source) return [];
  return [...(lora ? baseNotes(source) : []), ...overTrainedNotes(source)];
}

/** Says what threatens the base of adapters, which are nothing without it. */
function baseNotes({ checkpoint }: Origin): string[] {
  const run = dirname(dirname(checkpoint));
  if (!isCheckpointFolder(checkpoint) || !isUnfinished(run)) return [];
  return [
    `warning: the base '${checkpoint}' is of the run '${run}', which is not done and removes old checkpoints as it ` +
      'goes on: adapters are nothing without their base, so let that run end first, or train beside a copy ' +
      '(babelgrad export)',
  ];
}

function overTrainedNotes(source: Origin): string[] {
  if (source.tokensPerParameter <= OVER_TRAINED) return [];
  return [
    `the source '${source.name}' has had ${Math.round(source.tokensPerParameter)} tokens per parameter, ` +
      'far more than 20: ' +
      'the more a model has been trained, the less further training gains (Liew & Kato, 2025, arXiv 2510.06548); ' +
      'an earlier checkpoint, from before its learning rate decayed, may adapt better',
  ];
}
