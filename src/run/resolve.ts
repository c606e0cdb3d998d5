/** Resolves a configuration into a run in which every number is fixed. */
import { basename } from 'node:path';
import type { Origin } from '../checkpoint/training-record.js';
import { hasWeights } from '../data/mixture.js';
import { meanShares, recordedWeights } from '../data/shares.js';
import { UserError } from '../errors.js';
import type { ModelConfig } from '../model/config.js';
import { modelConfig } from '../model/fields.js';
import { countParameters, flopsPerToken } from '../model/parameters.js';
import { recipeFor } from '../model/recipe.js';
import type { MatrixType } from '../model/tensors.js';
import { bestFields } from './best.js';
import { BUDGET_FIELDS, MODEL_FIELDS, type RunConfig, type RunFields } from './config.js';
import { dataOrderOf, freezeStepsOf, optimizerStateOf, scheduleOf } from './continuation.js';
import { chooseEvaluations, times } from './evaluations.js';
import { loraOf } from './lora.js';
import { parameterRulesOf, trainedGroups } from './parameter-groups.js';
import { checkProbes } from './probes.js';
import { type ResolvedRun, RUN_FORMAT } from './resolved.js';
import type { Data } from './run-data.js';

export interface ResolveContext {
  readonly data: Data;
  /** The bytes that one binding of the adapter may have. */
  readonly maxBindingBytes: number;
  /** The model of a CPT run's source checkpoint, and where it comes from. */
  readonly from?: {
    readonly model: ModelConfig;
    readonly origin: Origin;
    /** The type that holds its matrices exactly, where a run of adapters asks for it. */
    readonly stored?: MatrixType | undefined;
  };
}

/** Resolves a run. @throws UserError naming the fields that don't fit each other, the data, or the adapter. */
export function resolveRun(config: RunConfig, { data, maxBindingBytes, from }: ResolveContext): ResolvedRun {
  const index = data.sources[0]!.tokens.index;
  const model = from ? continuedModel(config, from) : newModel(config, index.vocabSize);
  const rowsNeeded = data.sources[0]!.tokens.rowsBeyond(model.vocabSize);
  if (rowsNeeded !== undefined) {
    throw new UserError(
      `the data's vocabulary of ${rowsNeeded} is larger than the model's of ${model.vocabSize}; ` +
        `${from ? "tokenize with the checkpoint's tokenizer" : 'raise vocabSize'}`,
    );
  }
  for (const dataset of [...data.sources.map(({ tokens }) => tokens), ...data.heldOut.values()]) {
    dataset.checkSpecialTokens(model.vocabSize);
  }
  const parameters = countParameters(model);
  const { contextLength, batchTokens, microBatch } = batchOf(config, model, maxBindingBytes);
  const { tokens, steps } = budget(config, data, parameters.total, batchTokens);
  const available = data.sources.reduce((sum, { tokens: source }) => sum + source.trainTokens, 0);
  if (available < batchTokens) {
    throw new UserError(
      `the sources have ${available} training tokens, fewer than one batch of ${batchTokens}; ` +
        'add text or lower batchTokens',
    );
  }
  for (const [language, dataset] of data.heldOut) {
    if (dataset.heldOutTokens < 2) {
      throw new UserError(
        `'${dataset.folder}' holds out ${dataset.heldOutTokens} tokens for '${language}'; ` +
          'tokenize with --held-out-tokens',
      );
    }
  }
  if (config.probeEveryTokens !== undefined) checkProbes(data, contextLength);
  const optimizer = {
    beta1: config.beta1,
    beta2: config.beta2,
    eps: config.eps,
    weightDecay: config.weightDecay,
    clip: config.clip,
  };
  const lora = loraOf(config, model, from !== undefined, from?.stored);
  const freezeBodySteps = freezeStepsOf(config, { steps, batchTokens }, from?.origin);
  const parameterGroups =
    config.parameterGroups && parameterRulesOf(config.parameterGroups, { steps, batchTokens }, from?.origin);
  trainedGroups({ model, optimizer, parameterGroups, freezeBodySteps, lora }); // which checks that the rules fit
  const heldOut = new Map([...data.heldOut].map(([language, { heldOutTokens }]) => [language, heldOutTokens - 1]));
  return {
    format: RUN_FORMAT,
    name: config.name ?? (basename(config.out) || config.out),
    method: from ? 'cpt' : 'scratch',
    ...(from && { source: from.origin }),
    model: { ...model, maxPositionEmbeddings: Math.max(model.maxPositionEmbeddings, contextLength) },
    parameters: { ...parameters, nominal: config.preset ?? null },
    flopsPerToken: flopsPerToken(model),
    sources: recordedWeights(config.sources).map((weights, i) => {
      const { name, path } = config.sources[i]!;
      return { name, path, ...weights, trainTokens: data.sources[i]!.tokens.trainTokens };
    }),
    heldOut: Object.fromEntries([...data.heldOut].map(([language, { folder }]) => [language, folder])),
    ...(hasWeights(data.sources) && { weighted: true as const }),
    ...(config.documentMask && { documentEnd: index.separatorId }),
    tokenizer: index.tokenizer,
    tokens,
    steps,
    contextLength,
    batchTokens,
    microBatch,
    checkpointing: config.checkpointing,
    precision: config.precision,
    momentType: config.momentType,
    gradientStorage: gradientStorageOf(config),
    weightType: lora ? 'f32' : weightTypeOf(config),
    offload: config.offload,
    schedule: scheduleOf(config, model, from?.origin),
    optimizerState: lora ? 'reset' : optimizerStateOf(config, from?.origin),
    dataOrder: dataOrderOf(config, from?.origin),
    freezeBodySteps,
    ...(parameterGroups && { parameterGroups }),
    ...(lora && { lora }),
    optimizer,
    maxSkippedSteps: config.maxSkippedSteps,
    spikeFactor: config.spikeFactor,
    ...(config.emaDecay !== undefined && { emaDecay: averageOf(config) }),
    seed: config.seed,
    dataSeed: config.dataSeed ?? config.seed,
    ...chooseEvaluations(config, { tokens, steps, contextLength, microBatch, heldOut }),
    ...(config.probeEveryTokens !== undefined && { probes: times(config.probeEveryTokens, 1, { tokens, steps }) }),
    checkpoints: times(config.checkpointEveryTokens, 5, { tokens, steps }),
    keepCheckpoints: config.keepCheckpoints,
    keepEvery: config.keepEvery,
    ...bestFields(config, [...data.heldOut.keys()]),
    parallel: config.parallel,
    syncEvery: config.syncEvery,
    outerLearningRate: config.outerLearningRate,
    outerMomentum: config.outerMomentum,
    gradientType: config.gradientType,
    adapter: config.adapter ?? null,
  };
}

/**
 * Returns what matrices are kept in. @throws UserError for bf16 with what it cannot be updated by: moments in f32, an
 * average of weights, and diloco, whose outer step moves weights too.
 */
function weightTypeOf({ weightType, momentType, emaDecay, parallel }: RunConfig): RunConfig['weightType'] {
  if (weightType === 'f32') return weightType;
  const faults = [
    ...(momentType === '8bit' ? [] : ['momentType f32 (use 8bit)']),
    ...(emaDecay === undefined ? [] : ['emaDecay (leave it out)']),
    ...(parallel === 'data' ? [] : [`parallel ${parallel} (use data)`]),
  ];
  if (faults.length === 0) return weightType;
  throw new UserError(`weightType ${weightType} does not go with ${faults.join(' and ')}`);
}

/** Returns what gradients are kept in. @throws UserError for f16 where losses are not scaled. */
function gradientStorageOf({ gradientStorage, precision }: RunConfig): RunConfig['gradientStorage'] {
  if (gradientStorage === 'f32' || precision === 'f16') return gradientStorage;
  throw new UserError(
    `gradientStorage ${gradientStorage} does not go with precision ${precision}, whose losses are not scaled, so ` +
      'that small gradients would be 0: use precision f16',
  );
}

/** Returns the decay of the average. @throws UserError with diloco, whose ranks each have weights of their own. */
function averageOf({ emaDecay, parallel }: RunConfig): number | undefined {
  if (parallel === 'diloco') {
    throw new UserError(
      'emaDecay averages the weights of every step, and with parallel diloco each rank has its own: ' +
        'leave emaDecay out, or take parallel data',
    );
  }
  return emaDecay;
}

function continuedModel(config: RunConfig, { model, origin }: NonNullable<ResolveContext['from']>): ModelConfig {
  const given = MODEL_FIELDS.filter(field => config[field] !== undefined);
  if (given.length > 0) {
    throw new UserError(
      `${given.join(', ')}: a CPT run takes the model of its checkpoint '${origin.checkpoint}'; remove it`,
    );
  }
  return model;
}

/** Returns the model that fields describe. @throws UserError when they don't describe one. */
export function newModel(config: RunFields, dataVocabSize: number): ModelConfig {
  const given = Object.fromEntries(
    MODEL_FIELDS.map(field => [field, config[field]]).filter(([, value]) => value !== undefined),
  );
  return modelConfig({
    vocabSize: dataVocabSize,
    maxPositionEmbeddings: Math.max(2048, config.contextLength ?? 0),
    ...given,
  });
}

function budget(
  config: RunConfig,
  data: Data,
  parameters: number,
  batchTokens: number,
): { readonly tokens: number; readonly steps: number } {
  const given = BUDGET_FIELDS.filter(field => config[field] !== undefined);
  if (given.length > 1)
    throw new UserError(`the budget is given more than once, by ${given.join(', ')}; give one of them`);
  const { epochs, tokensPerParameter = 20 } = config;
  const asked =
    config.tokens ?? (epochs === undefined ? tokensPerParameter * parameters : epochs * tokensOfPass(config, data));
  const wanted = Math.round(asked);
  const steps = Math.round(wanted / batchTokens);
  if (steps < 1) {
    throw new UserError(
      `the budget of ${wanted} tokens is less than one batch of ${batchTokens}; raise it or lower batchTokens`,
    );
  }
  const tokens = steps * batchTokens;
  if (!Number.isSafeInteger(tokens)) {
    throw new UserError(`the budget of ${wanted} tokens is more than can be counted (2^53); lower it`);
  }
  return { tokens, steps };
}

/** Returns the tokens of a run that goes once through the source of the largest share. */
function tokensOfPass({ sources }: RunConfig, data: Data): number {
  const shares = meanShares(sources);
  const share = Math.max(...shares);
  return data.sources[shares.indexOf(share)]!.tokens.trainTokens / share;
}

/** The tokens of a micro-batch beyond which there is nothing to gain on any adapter measured so far. */
const MICRO_TOKENS = 8192;

/**
 * Decides how a step is made up. `microBatch` sequences run at once: by default as many as divide the batch, up to
 * MICRO_TOKENS and to what one binding (the widest activation) may hold.
 * @throws UserError naming the fields that don't fit each other or the model.
 */
export function batchOf(
  config: RunFields,
  model: ModelConfig,
  maxBindingBytes: number,
): { readonly contextLength: number; readonly batchTokens: number; readonly microBatch: number } {
  const recipe = recipeFor(model);
  const { contextLength = recipe.contextLength, batchTokens = recipe.batchTokens } = config;
  if (contextLength > model.maxPositionEmbeddings) {
    throw new UserError(
      `contextLength ${contextLength} exceeds the ${model.maxPositionEmbeddings} positions of the checkpoint's model`,
    );
  }
  if (batchTokens % contextLength !== 0) {
    throw new UserError(`batchTokens ${batchTokens} is not a multiple of contextLength ${contextLength}`);
  }
  const sequences = batchTokens / contextLength;
  if (config.microBatch !== undefined && sequences % config.microBatch !== 0) {
    throw new UserError(`microBatch ${config.microBatch} does not divide the ${sequences} sequences of a batch`);
  }
  const { hiddenSize, intermediateSize, numAttentionHeads, headDim } = model;
  const bytesOfSequence = 4 * contextLength * Math.max(hiddenSize, intermediateSize, numAttentionHeads * headDim);
  const fits = (n: number) =>
    sequences % n === 0 && n * contextLength <= MICRO_TOKENS && n * bytesOfSequence <= maxBindingBytes;
  let most = Math.min(sequences, Math.max(1, Math.floor(MICRO_TOKENS / contextLength)));
  while (most > 1 && !fits(most)) most--;
  return { contextLength, batchTokens, microBatch: config.microBatch ?? most };
}
