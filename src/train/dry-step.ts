/** A training step and an evaluation without a device. */
import { layOut } from '../autograd/layout.js';
import { allocate } from '../autograd/plan.js';
import { TracedLosses } from '../eval/token-losses.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { MemoryCount } from '../gpu/memory.js';
import { type VariantChoices, VariantTable } from '../kernels/variants.js';
import type { ModelConfig } from '../model/config.js';
import type { BatchShape } from '../model/llama.js';
import { ModelTensors, type Precision } from '../model/model.js';
import { TracedStep, type TrainerSettings } from './traced-step.js';

/** The shape of a training step and its evaluation, which decides which kernels they ask for. */
export interface StepShape {
  readonly model: ModelConfig;
  readonly settings: TrainerSettings;
  /** The batch of an evaluation; by default that of the step. */
  readonly evaluation?: BatchShape | undefined;
  readonly precision?: Precision | undefined;
}

/**
 * Lays step and evaluation out without a device. The table's `requests` are all that they ask for, and `used` are the
 * variants that they run with.
 * @throws UserError when the model is not sound, or the adapter has no f16.
 */
export function traceVariants(
  adapter: AdapterDescription,
  { model, settings, evaluation: batch = settings, precision = 'f32' }: StepShape,
  choices?: VariantChoices,
): VariantTable {
  const variants = new VariantTable(adapter, choices);
  const memory = new MemoryCount(adapter);
  const tensors = new ModelTensors(memory, model, { precision, variants });
  const step = new TracedStep(memory, tensors, settings);
  const evaluation = new TracedLosses(memory, tensors, batch);
  for (const graph of [step.microBatch, step.update]) allocate(memory, layOut(graph), variants);
  allocate(memory, layOut(evaluation.graph, { keep: [evaluation.losses] }), variants);
  return variants;
}
