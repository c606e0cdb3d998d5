/** The training step that a run takes, or that fields of a configuration describe, where there need be no data yet. */
import type { AdapterDescription } from '../gpu/adapters.js';
import { maxBindingBytes } from '../gpu/limits.js';
import type { ModelConfig } from '../model/config.js';
import type { MatrixType } from '../model/tensors.js';
import type { StepShape } from '../train/dry-step.js';
import type { TrainerSettings } from '../train/traced-step.js';
import { defaults, type RunFields } from './config.js';
import { evaluationShape } from './evaluations.js';
import { loraOf } from './lora.js';
import { probeShapeOf } from './probes.js';
import { batchOf, newModel } from './resolve.js';
import type { ResolvedRun } from './resolved.js';
import { openData } from './run-data.js';

/** The settings of a run's trainer, or of each of several `ranks` that divide its batch. */
export const trainerSettings = (run: ResolvedRun, ranks = 1): TrainerSettings => ({
  B: run.microBatch,
  T: run.contextLength,
  microBatches: run.batchTokens / (ranks * run.microBatch * run.contextLength),
  sharers: run.parallel === 'data' ? ranks : 1,
  optimizer: { ...run.optimizer, mostSkipped: run.maxSkippedSteps, spike: run.spikeFactor },
  momentType: run.momentType,
  gradientStorage: run.gradientStorage,
  offload: run.offload,
  checkpointing: run.checkpointing,
  frozenSteps: run.freezeBodySteps,
  parameterGroups: run.parameterGroups,
  emaDecay: run.emaDecay,
  weighted: run.weighted,
  documentEnd: run.documentEnd,
  earlierUpdates: run.optimizerState === 'keep' ? run.source?.updates : 0,
});

export const shapeOf = (run: ResolvedRun): StepShape => ({
  model: run.model,
  settings: trainerSettings(run),
  evaluation: evaluationShape(run),
  probe: probeShapeOf(run),
  precision: run.precision,
  weightType: run.weightType,
  ...(run.lora && { lora: run.lora, matrixType: run.lora.baseType }),
});

/** The entries of the embedding where neither a number nor data says. */
const VOCABULARY = 4096;

/** Returns the model of the fields. @throws UserError when they don't describe one. */
export const describedModel = (fields: RunFields): ModelConfig => newModel(fields, vocabularyOf(fields));

/**
 * Returns the shape of the step that fields describe.
 * @throws UserError when they don't describe a model and a batch that fit each other.
 */
export function stepShape(
  fields: RunFields,
  adapter: AdapterDescription,
  model: ModelConfig = describedModel(fields),
): StepShape {
  const { contextLength: T, batchTokens, microBatch: B } = batchOf(fields, model, maxBindingBytes(adapter));
  const { beta1, beta2, eps, weightDecay, clip } = defaults;
  const optimizer = { beta1, beta2, eps, weightDecay, clip };
  const { momentType, gradientStorage, offload, checkpointing, emaDecay } = fields;
  const step = { B, T, microBatches: batchTokens / (B * T), documentEnd: documentEndOf(fields) };
  const settings = { ...step, optimizer, momentType, gradientStorage, offload, checkpointing, emaDecay };
  return { model, settings, ...tensorsOf(fields, model) };
}

/**
 * Returns how fields keep a model that is trained, with adapters beside it or without. `stored` is the two-byte type of
 * a base's files, where there is one.
 * @throws UserError when adapters don't fit the model or other fields.
 */
export function tensorsOf(
  fields: RunFields,
  model: ModelConfig,
  stored?: MatrixType,
): Pick<StepShape, 'precision' | 'weightType' | 'matrixType' | 'lora'> {
  const { precision, weightType } = fields;
  const lora = loraOf({ ...defaults, ...fields }, model, true, stored);
  return lora ? { precision, lora, matrixType: lora.baseType } : { precision, weightType };
}

/** The id that ends a document where fields ask for a mask and there are no data to say which it is. */
export const documentEndOf = ({ documentMask }: RunFields): number | undefined => (documentMask ? 0 : undefined);

function vocabularyOf({ vocabSize, sources, heldOut }: RunFields): number {
  if (vocabSize !== undefined || sources === undefined) return vocabSize ?? VOCABULARY;
  const data = openData(sources, heldOut);
  data.close();
  return data.sources[0]!.tokens.index.vocabSize;
}
