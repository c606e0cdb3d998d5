/**
 * training.json: how far a model has been trained, and on what. It lies beside a checkpoint and goes along with its
 * model.
 */
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { stagesSchema } from '../data/shares.js';
import { UserError } from '../errors.js';
import { parseJson, readJson, readText } from '../input-files.js';
import { inWords, whyInvalid } from '../schema.js';
import { isCheckpointFolder } from './find.js';

/**
 * The languages by name, and their shares in proportion to each other: the mean shares where those changed in `stages`.
 */
export const mixtureSchema = z
  .array(z.object({ name: z.string(), weight: z.number(), stages: stagesSchema.optional() }))
  .min(1);

/** The source model of a CPT run, and how far it was trained. */
export const originSchema = z.object({
  checkpoint: z.string(),
  name: z.string(),
  tokens: z.number(),
  flops: z.number(),
  tokensPerParameter: z.number(),
  /** The learning rate of its last step, and the updates that its moments have seen, if it has a record of them. */
  learningRate: z.number().optional(),
  updates: z.int().optional(),
  /**
   * The languages that it was trained on, and the SHA-256 of the tokenizer then: its vocabulary may have been extended
   * since.
   */
  sources: mixtureSchema.optional(),
  tokenizer: z.string().optional(),
  /** The id of the first token that its vocabulary was extended by, if it was and nothing trained it since. */
  firstNewToken: z.int().positive().optional(),
});
export type Origin = z.infer<typeof originSchema>;

/** The evaluation with the lowest loss of a language so far, and how many there were since. */
const bestSchema = z.object({
  language: z.string(),
  step: z.int().nonnegative(),
  loss: z.number(),
  since: z.int().nonnegative(),
});
export type BestEvaluation = z.infer<typeof bestSchema>;

/** The model that an adapter stands beside: its folder, and the SHA-256 of each file of its weights. */
const baseSchema = z.object({ path: z.string(), weights: z.record(z.string(), z.string()) });
export type BaseRecord = z.infer<typeof baseSchema>;

export const TRAINING_FORMAT = 'babelgrad training state 1';
const stateSchema = z.object({
  format: z.literal(TRAINING_FORMAT),
  /** The name of the run. */
  run: z.string(),
  step: z.int().nonnegative(),
  tokens: z.int().nonnegative(),
  flops: z.number().nonnegative(),
  parameters: z.int().positive(),
  mixture: z.object({ drawn: z.array(z.int().nonnegative()) }),
  /** The last step's learning rate, and the updates that the moments have seen; earlier checkpoints don't say. */
  learningRate: z.number().nonnegative().optional(),
  updates: z.int().nonnegative().optional(),
  /**
   * The languages that the run was trained on, and the SHA-256 of the tokenizer.json that made the data; earlier
   * checkpoints don't say.
   */
  sources: mixtureSchema.optional(),
  tokenizer: z.string().optional(),
  /** The id of the first token that the vocabulary was extended by since. */
  firstNewToken: z.int().positive().optional(),
  /** The best evaluation, of a run that keeps its checkpoint. */
  best: bestSchema.optional(),
  /** The words of what steps are judged by (kernels/gradient_norm.wgsl); earlier checkpoints have none. */
  guard: z.array(z.int().nonnegative()).length(4).optional(),
  /** The base, of a run that trains adapters. */
  base: baseSchema.optional(),
});
export type TrainingState = z.infer<typeof stateSchema>;

/** Reads a checkpoint's training.json. @throws UserError when the file is missing or damaged. */
export function readTrainingState(checkpoint: string): TrainingState {
  const path = join(checkpoint, 'training.json');
  const json = readJson(path);
  try {
    return stateSchema.parse(json, inWords);
  } catch (error) {
    throw new UserError(`'${path}' is damaged: ${whyInvalid(error)}`);
  }
}

/**
 * Returns the text of a model's training.json, to go along with the model into another folder. If a checkpoint is from
 * before its data was recorded, that is read from its run.
 * @returns undefined where the model has no record.
 */
export function readTrainingRecord(folder: string): string | undefined {
  const path = join(folder, 'training.json');
  if (!existsSync(path)) return undefined;
  const text = readText(path);
  try {
    const record = z.looseObject({}).parse(parseJson(text));
    if ('sources' in record || !isCheckpointFolder(folder)) return text;
    const config: unknown = readJson(join(dirname(dirname(folder)), 'config.json'));
    const data = z.object({ sources: mixtureSchema, tokenizer: z.string() }).parse(config);
    return `${JSON.stringify({ ...record, ...data }, null, 2)}\n`;
  } catch {
    return text; // the run is gone
  }
}

/** Returns where a CPT run's source comes from; a foreign model folder has no record of its training. */
export function originOf(checkpoint: string): Origin {
  if (!existsSync(join(checkpoint, 'training.json'))) {
    return { checkpoint, name: basename(checkpoint), tokens: 0, flops: 0, tokensPerParameter: 0 };
  }
  const state = readTrainingState(checkpoint);
  const {
    run,
    step,
    tokens,
    flops,
    parameters,
    learningRate,
    updates = step,
    sources,
    tokenizer,
    firstNewToken,
  } = state;
  return {
    checkpoint,
    name: run || basename(dirname(dirname(checkpoint))),
    tokens,
    flops,
    tokensPerParameter: tokens / parameters,
    ...(learningRate !== undefined && { learningRate }),
    updates,
    ...(sources && { sources }),
    ...(tokenizer !== undefined && { tokenizer }),
    ...(firstNewToken !== undefined && { firstNewToken }),
  };
}
