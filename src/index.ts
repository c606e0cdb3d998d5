/**
 * babelgrad's public interface; the command line is built on it. docs/api.md walks through it, docs/example.mjs runs
 * it.
 *
 * - Devices: `listAdapters`, `chooseAdapter`, `openDevice`
 * - Models: `createModel`, `loadModel`, `saveModel`, `exportModel`, `mergeModels`, `logits`, `loss`, `lossAndGradients`
 * - Text from a model: `generate`, `CachedModel`, `sample`, `TextStream`
 * - Training steps: `Trainer`
 * - Text to tokens: `trainTokenizer`, `TextTokenizer`, `tokenizeFiles`, `TokenDataset`, `Mixture`
 * - Vocabularies: `continueBpe`, `extendVocabulary`, `measureTokens`
 * - Runs: `parseConfig`, `dryRun`, `startRun`, `resumeRun`; by several processes: `launchOf`, `Ranks`
 * - Studies: `readStudyPlan`, `runStudy`, `readStudy`, `studyPoints`, `fitStudy`; on a cluster: `slurmEngine`,
 *   `withJobs`
 * - Scaling laws: `parsePoints`, `fitChinchilla`, `fitCpt`, `fitCompute`, `parseFit`, `makePlan`, `planReplay`; of
 *   whole curves: `parseCurve`, `fitCurves`, `predictCurve`
 * - Evaluation: `textLoss`, `TokenLosses`, `logLikelihoods`, `readTask`, `evaluateTasks`
 * - Findings: `readRun`, `compareRuns`, `savingsAtEqualLoss`, `forgettingOf`, `compareReplay`, `reportPage`,
 *   `studyPage`, `studyFigures`; live: `serveWatch`
 *
 * Models, trainers and evaluators hold memory of a device: `destroy()` frees it, and `close()` frees a device; `using`
 * does either at the end of its block. An error that a user can mend is a `UserError`.
 */
import { writeModel } from './checkpoint/model-folder.js';
import { meanLoss } from './eval/text-loss.js';
import { TokenLosses } from './eval/token-losses.js';
import { writeFolderWhole } from './files.js';
import type { Device } from './gpu/device.js';
import { checkBatch } from './model/batch.js';
import { type ModelFields, modelConfig } from './model/fields.js';
import { initialWeights } from './model/init.js';
import type { BatchShape } from './model/llama.js';
import { Model } from './model/model.js';
import type { ModelOptions } from './model/tensors.js';

export { backward } from './autograd/backward.js';
export {
  Graph,
  type Node,
  type NodeSpec,
  type OutputSpec,
  type PendingGradients,
  type Segment,
} from './autograd/graph.js';
export type { LayoutOptions } from './autograd/layout.js';
export { type CommandSource, type Plan as GraphPlan, type PlanOptions, plan as planGraph } from './autograd/plan.js';
export { type DType, persistent, type Shape, type Tensor } from './autograd/tensor.js';
export { type ExportOptions, exportModel } from './checkpoint/export.js';
export { exportPeft } from './checkpoint/export-peft.js';
export { findModelFolder } from './checkpoint/find.js';
export { exportGguf } from './checkpoint/gguf.js';
export { readEndIds } from './checkpoint/hf-config.js';
export { type MergedModel, type MergeOptions, mergeModels } from './checkpoint/merge.js';
export type { CopyOptions, WrittenModel } from './checkpoint/model-copy.js';
export { type LoadOptions, loadModel } from './checkpoint/model-folder.js';
export {
  type ExtendOptions,
  extendVocabulary,
  ROW_INITS,
  type RowInit,
  type VocabularyExtension,
} from './checkpoint/vocabulary.js';
export { type FileCheck, verifyFolder } from './checksums.js';
export { type BadRow, BadRows, ON_BAD_ROW, type OnBadRow } from './data/bad-rows.js';
export { type ContinueBpeOptions, continueBpe } from './data/bpe-continue.js';
export type { SafeCut } from './data/cuts.js';
export { DocumentEncoder, type DocumentEncoderOptions, type EncodedPiece } from './data/document-encoder.js';
export type { DocumentMarks, MarkOptions } from './data/document-marks.js';
export { type DocumentPart, readDocuments } from './data/documents.js';
export { findInputFiles, sizeOfFiles } from './data/inputs.js';
export { measureTokens, type TokenMeasure } from './data/measure-tokens.js';
export {
  type Batch,
  Mixture,
  type MixtureOptions,
  type MixtureSource,
  type MixtureState,
  type Sequence,
  type TokenSource,
} from './data/mixture.js';
export { readHeldOutText, type ScoredText } from './data/scored-text.js';
export { TokenDataset, type TokenIndex } from './data/shards.js';
export type { Weight, WeightStage } from './data/shares.js';
export type { TextSpan } from './data/spans.js';
export type { OnRead } from './data/text-stream.js';
export type { NewToken } from './data/token-pieces.js';
export { type TokenizeOptions, type TokenizeProgress, tokenizeFiles } from './data/tokenize.js';
export { type EncodeOptions, SPECIAL_TOKENS, type SpecialTokens, TextTokenizer } from './data/tokenizer.js';
export { type TrainTokenizerOptions, trainTokenizer } from './data/tokenizer-train.js';
export { UserError } from './errors.js';
export { logLikelihoods, type ScoredTokens, type ScoreOptions } from './eval/log-likelihoods.js';
export { logits } from './eval/logits.js';
export { type Probe, Prober, probeShape, type TaskProbe } from './eval/probe.js';
export { type Losses, sequencesOf, type TextLoss, textLoss } from './eval/text-loss.js';
export { type BranchRows, type Scores, TokenLosses, type TokenLossesOptions } from './eval/token-losses.js';
export { CachedModel } from './generate/cached-model.js';
export { type GenerateSettings, type Generation, generate, type Pace } from './generate/generate.js';
export { type Distribution, distribution, type SamplingSettings, sample } from './generate/sample.js';
export type { FinishReason, Generated } from './generate/sequence.js';
export { type Decode, TextStream } from './generate/text.js';
export type { CacheShape } from './generate/traced-cache.js';
export { type AdapterDescription, type LiveAdapter, listAdapters, type SubgroupMatrix } from './gpu/adapters.js';
export type { BufferRange, BufferUsage, DeviceBuffer } from './gpu/buffer.js';
export { type AdapterChoice, chooseAdapter } from './gpu/choose-adapter.js';
export type { LineOrigin } from './gpu/compile.js';
export { type Counters, Device } from './gpu/device.js';
export type { Memory } from './gpu/memory.js';
export { type DeviceOptions, openDevice } from './gpu/open-device.js';
export type { Clear, Command, Copy, Dispatch, Pipeline } from './gpu/program.js';
export type { DispatchTime, HostSpan, Timeline } from './gpu/timeline.js';
export type {
  AttentionSizes,
  AttentionVariant,
  MatrixAttention,
  RegisterAttention,
  TiledAttention,
} from './kernels/attention-variant.js';
export { callOf, type KernelArguments, type KernelCall, type Operand } from './kernels/call.js';
export { IGNORED_TARGET } from './kernels/cross-entropy.js';
export { ELEMENT_TYPES, type ElementType } from './kernels/element-type.js';
export type { MatmulVariant, MatrixShape } from './kernels/matmul-variant.js';
export type { RopeSizes } from './kernels/rope.js';
export type { ElementVariant, RowVariant } from './kernels/row-variant.js';
export type { Constants } from './kernels/source.js';
export type { Activation } from './kernels/swiglu.js';
export type { BatchOptions } from './model/batch.js';
export type { ModelConfig } from './model/config.js';
export { type ModelFields, modelConfig } from './model/fields.js';
export { type BatchShape, CHECKPOINTING, type Checkpointing } from './model/llama.js';
export { Model, type ParameterSource, type Values } from './model/model.js';
export {
  countParameters,
  flopsPerToken,
  type ParameterCounts,
  type ParameterGroup,
  type ParameterSpec,
  parameterSpecs,
} from './model/parameters.js';
export { type ModelSize, presetNames, presetSize } from './model/presets.js';
export {
  type MatrixType,
  type ModelOptions,
  type ParameterPlace,
  PRECISIONS,
  type Precision,
  type TensorOptions,
  WEIGHT_TYPES,
  type WeightType,
} from './model/tensors.js';
export { attention } from './ops/attention.js';
export { addBias } from './ops/bias.js';
export { embedding, groupRowsById, type TokenRows } from './ops/embedding.js';
export { type HeadGradient, headLoss } from './ops/head-loss.js';
export { type LinearOptions, linear } from './ops/linear.js';
export { type NormOptions, rmsnorm } from './ops/rmsnorm.js';
export { type RopeScaling, rope, ropeTable } from './ops/rope.js';
export { addSum } from './ops/sum.js';
export { swigluLinear } from './ops/swiglu.js';
export { ADAMW_DEFAULTS, type OptimizerSettings, type StepHealth } from './optim/adamw.js';
export type { CodedMoments, Moments } from './optim/moment-codes.js';
export { learningRateAt, type ScheduleSettings } from './optim/schedule.js';
export { WIRE_TYPES, type WireType } from './parallel/all-reduce.js';
export { type Launch, launchOf } from './parallel/launch.js';
export { ALONE, RankError, type RankGroup, Ranks, type Summed } from './parallel/ranks.js';
export { Random } from './random.js';
export type { Figure } from './report/figure.js';
export {
  compareReplay,
  type Forgetting,
  forgettingOf,
  type ReplayComparison,
  type ReplayEffect,
  sourceLanguageOf,
} from './report/forgetting.js';
export { metricsCsv } from './report/metrics-csv.js';
export { reportPage } from './report/page.js';
export { type Comparison, compareRuns, type LossUnit, type RunRecord, readRun } from './report/runs.js';
export type { Fitting } from './report/study-view.js';
export { eventFile } from './report/tensorboard.js';
export { modelCard } from './run/card.js';
export { parseConfig, type RunConfig } from './run/config.js';
export type { RunSummary, TrainObserver } from './run/context.js';
export { type DryRun, dryRun } from './run/dry-run.js';
export type { HealthLimits, HealthOptions } from './run/health.js';
export type { RunMemory } from './run/memory.js';
export type { EvaluationLine, HeldOutLoss, ProbeLine, StepLine } from './run/metrics.js';
export { type ResumeOptions, resumeRun } from './run/resume.js';
export { type StartOptions, startRun } from './run/start.js';
export type { RunOptions } from './run/train-from.js';
export { type FolderCheck, verifyPath } from './run/verify.js';
export { readYaml } from './run/yaml.js';
export type { Budget } from './scaling/allocation.js';
export type { BootstrapOptions, Resampling, RunPoint } from './scaling/bootstrap.js';
export {
  type ComputeFit,
  type ComputeLine,
  type ComputePoint,
  type EnvelopePoint,
  fitCompute,
} from './scaling/compute-line.js';
export type { CurveRow, LossCurve } from './scaling/curve.js';
export { parseCurve } from './scaling/curve-file.js';
export {
  type CurveFit,
  type CurveFitOptions,
  type CurvePredictor,
  fitCurves,
  predictCurve,
} from './scaling/curve-fit.js';
export type { CurveLaw } from './scaling/curve-laws.js';
export type { Diagnosis, Undetermined } from './scaling/diagnosis.js';
export { type FitError, fitChinchilla, fitCpt, type LawFitResult } from './scaling/fit-result.js';
export type { ParameterValues } from './scaling/form.js';
export {
  type ComparedLaw,
  compareHeldOut,
  type HeldOutError,
  type Holdout,
  type HoldoutResult,
  type ScratchOfSplit,
} from './scaling/holdout.js';
export type { LawParameters, ParameterName } from './scaling/law.js';
export { fitMixture, type MixtureFit, type MixtureLaw, type MixturePoint, mixtureLossAt } from './scaling/mixture.js';
export type { LossPoint } from './scaling/objective.js';
export {
  type GivenRun,
  makePlan,
  type Plan,
  type PlannedLaw,
  type PlannedSavings,
  type PlannedStrategy,
  type Span,
} from './scaling/plan.js';
export { type Exclusion, type Point, type PointOptions, parsePoints, type Used } from './scaling/points.js';
export { publishedLaws } from './scaling/published.js';
export { planRepeated, type RepeatedOptimum, type RepeatedPoint, type Repetition } from './scaling/repetition.js';
export { fitRepetition, type RepetitionFit } from './scaling/repetition-fit.js';
export type { ReplayCurve } from './scaling/replay.js';
export { planReplay, type ReplayPlan, type ReplayRun } from './scaling/replay-plan.js';
export { type Fitted, parseFit, type ScratchFit } from './scaling/saved-fit.js';
export { type CurvePoint, type Savings, savingsAtEqualLoss } from './scaling/savings.js';
export type { OnProgress } from './scaling/search.js';
export type { StartStudyOptions, StudyEngine, StudyObserver, StudySummary } from './study/engine.js';
export type { Execute, ExecuteOptions, RunProgress, WorkerTask } from './study/execute.js';
export { fitStudy, type LanguageFits, type StudyHoldout } from './study/fits.js';
export { readStudyPlan, type StudyPlan } from './study/plan.js';
export type { LinePart, PlannedRun } from './study/planned-run.js';
export { pointsCsv, type StudyPoint, studyPoints } from './study/points.js';
export { studyFigures, studyPage } from './study/report.js';
export { type LocalOptions, localEngine, type RunStudyOptions, runStudy } from './study/run.js';
export { serveWatch, type WatchServer } from './study/serve.js';
export { type SlurmEngineOptions, slurmEngine } from './study/slurm/engine.js';
export { cancelStudy, withJobs } from './study/slurm/jobs.js';
export type { SlurmOptions } from './study/slurm/options.js';
export { type RunState, readPlan, readStudy, type Study, type StudyJob, type StudyRun } from './study/state.js';
export type { Accuracies, Mean } from './tasks/accuracy.js';
export type { ChoiceDocument, Continuation } from './tasks/document.js';
export { type EvaluateOptions, evaluateTasks, type Sample, type Scorer, type TaskResult } from './tasks/evaluate.js';
export type { Encoder, Request } from './tasks/requests.js';
export { readTask, TASK_NAMES, type TaskData } from './tasks/task.js';
export { lossAndGradients } from './train/gradients.js';
export type { MomentSource } from './train/moments.js';
export type { ParameterRule } from './train/parameter-rules.js';
export type { Exchange } from './train/shared-step.js';
export { Trainer, type TrainerOptions, type TrainerState } from './train/step.js';
export type { TrainerSettings } from './train/traced-step.js';
export type { WeightAverage } from './train/weight-average.js';

/**
 * Returns a model with random weights: N(0, 0.02), residual projections scaled by 1/√(2·layers). Free it with
 * `destroy`.
 * @param model a preset with a vocabulary, or a shape (see `modelConfig`).
 * @throws UserError when the fields don't make a model, or the adapter has no f16.
 * @example
 * import { createModel, openDevice } from 'babelgrad';
 *
 * const device = await openDevice();
 * const model = await createModel(device, { preset: 'tiny', vocabSize: 4096 }, { seed: 1 });
 */
export async function createModel(
  device: Device,
  model: ModelFields,
  { seed = 0, ...options }: { readonly seed?: number | undefined } & ModelOptions = {},
): Promise<Model> {
  const config = modelConfig(model);
  return Model.create(device, config, initialWeights(config, seed), options);
}

/** Writes a model folder (config.json, model.safetensors, tokenizer.json where given), whole or not at all. */
export function saveModel(model: Model, folder: string, tokenizerJson?: string): Promise<void> {
  return writeFolderWhole(folder, target => writeModel(model, target, tokenizerJson));
}

/** Returns the mean loss in nats over sequences [B, T+1]. @throws UserError as `lossAndGradients`. */
export async function loss(model: Model, sequences: Uint32Array, shape: BatchShape): Promise<number> {
  checkBatch(model, sequences, shape);
  const evaluator = await TokenLosses.create(model, shape);
  try {
    return await meanLoss(evaluator, sequences);
  } finally {
    evaluator.destroy();
  }
}
