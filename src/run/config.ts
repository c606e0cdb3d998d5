/** The configuration of a run: the schema of run.yaml, whose every field is also a flag. */
import { z } from 'zod';
import { stagesSchema } from '../data/shares.js';
import { modelSchema } from '../model/config.js';
import { CHECKPOINTING } from '../model/llama.js';
import { loraSchema } from '../model/lora.js';
import { presetNames } from '../model/presets.js';
import { PRECISIONS, WEIGHT_TYPES } from '../model/tensors.js';
import { ADAMW_DEFAULTS } from '../optim/adamw.js';
import { ANNEAL_SHAPES, COOLDOWN_SHAPES, SCHEDULES } from '../optim/schedule.js';
import { WIRE_TYPES } from '../parallel/all-reduce.js';
import { parseWith } from '../parse-fields.js';
import { GRADIENT_STORAGES } from '../train/gradient-tensors.js';
import { OFFLOADS } from '../train/host-moments.js';
import { MOMENT_TYPES } from '../train/moments.js';
import { parameterGroupSchema } from './parameter-groups.js';

/** What a CPT run does with AdamW's moments of its source. */
export const OPTIMIZER_STATES = ['keep', 'reset'] as const;

/** Where the order of a CPT run's data begins. */
export const DATA_ORDERS = ['new', 'continue'] as const;

/** How ranks keep together: by the mean of their gradients at each step, or of their weights every so many steps. */
export const PARALLEL = ['data', 'diloco'] as const;

const count = (description: string) => z.int().positive().describe(description);
const share = (description: string) => z.number().min(0).max(1).describe(description);

/** A language's name is a key of objects: this one would be lost. */
const language = z
  .string()
  .min(1)
  .refine(name => name !== '__proto__', { error: 'it is no name of a language' });

/** A token source: a folder made by `tokenize`, and its share of the mixture. */
const sourceSchema = z.strictObject({
  name: language.describe('the language'),
  path: z.string().min(1).describe('folder made by tokenize'),
  weight: z
    .union([z.number().positive(), stagesSchema])
    .default(1)
    .describe('share of the mixture, in proportion to the others: a number, or a list of stages'),
});

/** The fields that only an imported checkpoint has are not given. */
const { ropeScaling, maxPositionEmbeddings, fusedProjections, ...shapeFields } = modelSchema.shape;
/** The model's shape; not to be given for `cpt`, which takes the checkpoint's. */
const modelFields = { preset: z.string().describe(`named size: ${presetNames.join(', ')}`), ...shapeFields };
/** The ways to give the budget, of which a run has one. */
export const BUDGET_FIELDS = ['tokens', 'tokensPerParameter', 'epochs'] as const;
export const MODEL_FIELDS = Object.keys(modelFields) as readonly (keyof typeof modelFields)[];

const trainFields = {
  name: z.string().min(1).describe('name of the run (default: the folder)'),
  out: z.string().min(1).describe('folder of the run'),
  sources: z.array(sourceSchema).min(1).describe('token sources; weights in stages are for the config file alone'),
  heldOut: z
    .record(language, z.string())
    .describe('held-out sets by language: folders made by tokenize (default: those of the sources)'),
  tokens: z.number().positive().describe('budget in tokens'),
  tokensPerParameter: z.number().positive().describe('budget in tokens per parameter (default 20)'),
  epochs: z.number().positive().describe('budget in passes over the source of the largest share'),
  contextLength: count("tokens of a sequence (default: the preset's)"),
  batchTokens: count("tokens of an optimizer step (default: the preset's)"),
  documentMask: z
    .boolean()
    .describe('attention within documents alone, positions counted from the begin of each; in evaluations too'),
  microBatch: count('sequences that run at once; steps accumulate them (default: up to 8192 tokens)'),
  precision: z
    .enum(PRECISIONS)
    .describe('f16: matrices and activations in halves, sums, masters and optimizer in f32, with loss scaling'),
  momentType: z
    .enum(MOMENT_TYPES)
    .describe("8bit: AdamW's moments of matrices in blocks of 256 that share a maximum, 2 bytes a parameter, not 8"),
  gradientStorage: z
    .enum(GRADIENT_STORAGES)
    .describe('f16: gradients of matrices in halves, added up in them over micro-batches; with precision f16'),
  weightType: z
    .enum(WEIGHT_TYPES)
    .describe('bf16: matrices in 2 bytes a parameter, not 4, each update rounded by chance; with momentType 8bit'),
  offload: z
    .enum(OFFLOADS)
    .describe("moments: AdamW's moments of matrices in host memory, through the device at each update; the same bits"),
  memory: z
    .string()
    .regex(/^\d+(\.\d+)?\s?(MB|GB|MiB|GiB)$/i, { error: 'it is no size such as 24GB, 16GiB or 500MB' })
    .describe('what a run may take of the device, as in 24GB: the micro-batch, and what is kept how, follow it'),
  checkpointing: z
    .union([z.enum(CHECKPOINTING), z.number().int().min(2)], {
      error: `it must be ${CHECKPOINTING.join(', ')} or a whole number of layers, at least 2`,
    })
    .describe(
      'layer: keep only the input of each layer, compute the rest again in the backward pass; 2: of each second',
    ),
  learningRate: z
    .number()
    .positive()
    .describe("peak learning rate (default: the preset's); anneal: where it starts (default: where the source ended)"),
  schedule: z
    .enum(SCHEDULES)
    .describe(
      'after warm-up: cosine, constant, warm-up-stable-decay, infinite (cool-down, constant, anneal); ' +
        'or anneal at once',
    ),
  warmup: share('share of the steps that warm up'),
  minLearningRateRatio: share('where a decay ends, as a share of the peak'),
  decay: share('wsd, infinite: share of the steps that decay, at the end'),
  cooldown: share('infinite: share of the steps that cool down, after warm-up'),
  constantLearningRateRatio: z
    .number()
    .positive()
    .max(1)
    .describe('infinite: the constant rate, as a share of the peak'),
  cooldownShape: z.enum(COOLDOWN_SHAPES).describe('infinite: how the rate cools down to the constant'),
  annealShape: z.enum(ANNEAL_SHAPES).describe('infinite, anneal: how the rate falls to the minimum'),
  optimizerState: z
    .enum(OPTIMIZER_STATES)
    .describe("cpt: AdamW's moments of the source, kept or reset to 0 (default: keep for anneal, else reset)"),
  dataOrder: z
    .enum(DATA_ORDERS)
    .describe(
      'cpt: continue goes on in the order of the data where the source stopped, ' +
        'with its sources, weights, dataSeed and contextLength',
    ),
  freezeBodyTokens: z
    .number()
    .positive()
    .describe('cpt: tokens at the start in which only the embedding and an untied head are trained'),
  parameterGroups: z
    .array(parameterGroupSchema)
    .min(1)
    .describe('parameters that are trained otherwise, or frozen; the first group that matches wins'),
  lora: loraSchema.describe('cpt: train low-rank adapters of this rank beside the model, which is kept as it is'),
  beta1: z.number().min(0).lt(1).describe('AdamW β1'),
  beta2: z.number().min(0).lt(1).describe('AdamW β2'),
  eps: z.number().positive().describe('AdamW eps'),
  weightDecay: z.number().min(0).describe('AdamW decay, on matrices only'),
  clip: z.number().min(0).describe('largest global gradient norm; 0: no clipping'),
  maxSkippedSteps: z
    .int()
    .min(0)
    .describe('steps in a row that are skipped because they are not finite, or spikes; one more ends the run'),
  spikeFactor: z
    .number()
    .min(0)
    .describe('a gradient norm above this many times its mean over 50 updates is a spike; 0: none is'),
  emaDecay: z
    .number()
    .gt(0)
    .lt(1)
    .describe(
      'keep a running average of the weights: the share of it that stays at each step, 0.999 say (default none)',
    ),
  seed: z.int().min(0).describe('of the initial weights and, unless dataSeed is given, of the data'),
  dataSeed: z.int().min(0).describe('of the order of the data'),
  evalEveryTokens: z
    .number()
    .positive()
    .describe(
      'tokens between evaluations (default: as often as takes less than a tenth of the FLOPs, 20 times at most)',
    ),
  evalTokens: count(
    'held-out tokens of each language that are evaluated (default: as many as take less than a tenth of the FLOPs)',
  ),
  probeEveryTokens: z
    .number()
    .positive()
    .describe('tokens between probes of copying and induction, one before the first step (default: none)'),
  checkpointEveryTokens: z.number().positive().describe('tokens between checkpoints (default: a fifth of the budget)'),
  keepCheckpoints: z.int().min(1).describe('latest checkpoints that are kept'),
  keepEvery: z.int().min(0).describe('beside the latest, every so many-th checkpoint is kept for good; 0: none'),
  keepBest: language.describe('language: the checkpoint with its lowest held-out loss is kept beside the latest'),
  stopAfter: count('keepBest: end the run after so many evaluations without a new lowest loss (default: never)'),
  parallel: z
    .enum(PARALLEL)
    .describe('several ranks: data sums gradients at each step; diloco lets each go alone for syncEvery steps'),
  syncEvery: count('diloco: steps between outer steps'),
  outerLearningRate: z.number().positive().describe('diloco: learning rate of the outer step'),
  outerMomentum: z.number().min(0).lt(1).describe('diloco: Nesterov momentum of the outer step'),
  gradientType: z
    .enum(WIRE_TYPES)
    .describe('several ranks: the type in which gradients (diloco: moves of weights) travel; sums are f32'),
  adapter: z.string().describe('adapter, by a part of its name, its number, pci: or uuid:'),
  tuneSeconds: z
    .number()
    .min(0)
    .describe('seconds, about, before the start, to tune kernels that were not tuned on this machine before; 0: none'),
  deterministic: z.boolean().describe('the shipped kernel variants only, whatever was tuned'),
};

/** The defaults that hold for every size: the reference recipe. */
export const defaults = {
  documentMask: false,
  checkpointing: 'none',
  precision: 'f32',
  momentType: 'f32',
  gradientStorage: 'f32',
  weightType: 'f32',
  offload: 'none',
  schedule: 'cosine',
  warmup: 0.05,
  minLearningRateRatio: 0.1,
  decay: 0.2,
  cooldown: 0.2,
  constantLearningRateRatio: 0.5,
  cooldownShape: 'cosine',
  annealShape: 'exponential',
  ...ADAMW_DEFAULTS,
  maxSkippedSteps: 3,
  spikeFactor: 0,
  dataOrder: 'new',
  seed: 0,
  keepCheckpoints: 2,
  keepEvery: 0,
  parallel: 'data',
  syncEvery: 50,
  outerLearningRate: 0.7,
  outerMomentum: 0.9,
  gradientType: 'f32',
  tuneSeconds: 20,
  deterministic: false,
} as const;

export const configFields = { ...trainFields, ...modelFields };
export type FieldName = keyof typeof configFields;
export const defaultOf = (field: FieldName): unknown => (defaults as Record<string, unknown>)[field];

const someFields = z.strictObject(configFields).partial();
const configSchema = someFields.required({ out: true, sources: true }).transform(given => ({ ...defaults, ...given }));
/** A run's configuration as given, with the defaults that don't depend on the model filled in. */
export type RunConfig = z.infer<typeof configSchema>;
/** Fields of a configuration that need not make a run. */
export type RunFields = z.infer<typeof someFields>;

/**
 * Checks fields against the schema. `origin` begins the messages: it says where the fields come from.
 * @throws UserError naming the field, what is wrong with it, and the field that was probably meant.
 * @example
 * import { parseConfig, UserError } from 'babelgrad';
 *
 * try {
 *   parseConfig({ out: 'runs/x', sources: [{ name: 'en', path: 'data/en' }], preset: 'tiny', learningrate: 1e-3 });
 * } catch (error) {
 *   if (error instanceof UserError) console.log(error.message); // names the field that there is not
 * }
 */
export function parseConfig(fields: Record<string, unknown>, origin = 'the configuration'): RunConfig {
  return parseWith(configSchema, fields, origin);
}

/** Checks fields of which none is needed. @throws UserError as `parseConfig`. */
export function parseFields(fields: Record<string, unknown>, origin: string): RunFields {
  return parseWith(someFields, fields, origin);
}
