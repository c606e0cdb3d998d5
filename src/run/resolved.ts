/** A run in which every number is fixed: the config.json of its folder. */
import { z } from 'zod';
import { originSchema } from '../checkpoint/training-record.js';
import { stagesSchema } from '../data/shares.js';
import { modelSchema } from '../model/config.js';
import { CHECKPOINTING } from '../model/llama.js';
import { PRECISIONS, WEIGHT_TYPES } from '../model/tensors.js';
import { ANNEAL_SHAPES, COOLDOWN_SHAPES, SCHEDULES } from '../optim/schedule.js';
import { WIRE_TYPES } from '../parallel/all-reduce.js';
import { GRADIENT_STORAGES } from '../train/gradient-tensors.js';
import { OFFLOADS } from '../train/host-moments.js';
import { MOMENT_TYPES } from '../train/moments.js';
import { choicesSchema } from '../tune/choices.js';
import { DATA_ORDERS, defaults, OPTIMIZER_STATES, PARALLEL } from './config.js';
import { resolvedLora } from './lora.js';
import { parameterRuleSchema } from './parameter-groups.js';

const count = z.int().positive();

export const RUN_FORMAT = 'babelgrad run 1';
export const resolvedSchema = z.object({
  format: z.literal(RUN_FORMAT),
  name: z.string(),
  method: z.enum(['scratch', 'cpt']),
  source: originSchema.optional(),
  model: modelSchema,
  parameters: z.object({
    total: count,
    withoutEmbeddings: count,
    multiplied: count,
    /** The name of the preset, which for the reference study's sizes is its nominal size. */
    nominal: z.string().nullable(),
  }),
  flopsPerToken: z.number(),
  /** The sources; where weights are in stages, `weight` is the mean share of the run. */
  sources: z.array(
    z.object({
      name: z.string(),
      path: z.string(),
      weight: z.number(),
      stages: stagesSchema.optional(),
      trainTokens: count,
    }),
  ),
  heldOut: z.record(z.string(), z.string()),
  /** Whether the data has tokens that are read and not trained; other runs don't say. */
  weighted: z.literal(true).optional(),
  /** The id that ends a document, where attention stays within documents; other runs don't say. */
  documentEnd: z.int().nonnegative().optional(),
  /** The SHA-256 of the tokenizer.json that made the data. */
  tokenizer: z.string(),
  tokens: count,
  steps: count,
  contextLength: count,
  batchTokens: count,
  microBatch: count,
  // these are the values of runs from before there was a choice
  checkpointing: z.union([z.enum(CHECKPOINTING), count]).default('none'),
  precision: z.enum(PRECISIONS).default('f32'),
  momentType: z.enum(MOMENT_TYPES).default('f32'),
  gradientStorage: z.enum(GRADIENT_STORAGES).default('f32'),
  weightType: z.enum(WEIGHT_TYPES).default('f32'),
  offload: z.enum(OFFLOADS).default('none'),
  schedule: z.object({
    schedule: z.enum(SCHEDULES),
    learningRate: z.number(),
    warmup: z.number(),
    minLearningRateRatio: z.number(),
    decay: z.number(),
    cooldown: z.number().default(defaults.cooldown),
    constantLearningRateRatio: z.number().default(defaults.constantLearningRateRatio),
    cooldownShape: z.enum(COOLDOWN_SHAPES).default(defaults.cooldownShape),
    annealShape: z.enum(ANNEAL_SHAPES).default(defaults.annealShape),
  }),
  optimizerState: z.enum(OPTIMIZER_STATES).default('reset'),
  dataOrder: z.enum(DATA_ORDERS).default('new'),
  /** The number of first steps in which only the embedding and an untied head are trained. */
  freezeBodySteps: z.int().nonnegative().default(0),
  /** How parameters are trained that are not trained as the rest, if there are any. */
  parameterGroups: z.array(parameterRuleSchema).optional(),
  /** The adapters that the run trains in the place of its model, if it does. */
  lora: resolvedLora.optional(),
  optimizer: z.object({
    beta1: z.number(),
    beta2: z.number(),
    eps: z.number(),
    weightDecay: z.number(),
    clip: z.number(),
  }),
  // runs from before steps were skipped end at the first that is not finite
  maxSkippedSteps: z.int().nonnegative().default(0),
  spikeFactor: z.number().nonnegative().default(0),
  /** β of the running average of weights, if the run keeps one. */
  emaDecay: z.number().gt(0).lt(1).optional(),
  seed: z.int(),
  dataSeed: z.int(),
  /** The numbers of evaluations and, below, of checkpoints after the first; they are evenly spread. */
  evaluations: count,
  evalTokens: count.nullable(),
  /**
   * The held-out tokens of each language that are predicted, and the sequences that are scored at once; earlier runs
   * don't say.
   */
  evaluation: z.object({ tokens: z.record(z.string(), count), batch: count }).optional(),
  /** The number of probes after the first; runs without probes don't say. */
  probes: count.optional(),
  checkpoints: count,
  keepCheckpoints: count,
  keepEvery: z.int().nonnegative().default(0),
  /** The language whose lowest loss is kept, and the evaluations without one that end the run, where there are any. */
  keepBest: z.string().optional(),
  stopAfter: count.optional(),
  parallel: z.enum(PARALLEL).default(defaults.parallel),
  syncEvery: count.default(defaults.syncEvery),
  outerLearningRate: z.number().default(defaults.outerLearningRate),
  outerMomentum: z.number().default(defaults.outerMomentum),
  /** The type in which gradients travel between ranks. */
  gradientType: z.enum(WIRE_TYPES).default(defaults.gradientType),
  adapter: z.string().nullable(),
  /** The variants of kernels and the adapter they ran on; runs from before they were recorded have none. */
  kernels: choicesSchema.extend({ adapter: z.string(), driver: z.string() }).optional(),
});
/** Everything that decides a run's bits, on a given adapter. */
export type ResolvedRun = z.infer<typeof resolvedSchema>;
