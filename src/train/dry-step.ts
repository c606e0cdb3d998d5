/**
 * A training step and an evaluation traced without a device: the variants of kernels that they ask for, and the memory
 * that they take.
 */
import type { Graph } from '../autograd/graph.js';
import { layOut } from '../autograd/layout.js';
import { type Allocation, allocate } from '../autograd/plan.js';
import type { Tensor } from '../autograd/tensor.js';
import { TracedLosses } from '../eval/token-losses.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { MemoryCount } from '../gpu/memory.js';
import { type VariantChoices, VariantTable } from '../kernels/variants.js';
import type { ModelConfig } from '../model/config.js';
import type { BatchShape } from '../model/llama.js';
import { ModelTensors, type TensorOptions } from '../model/tensors.js';
import { TracedStep, type TrainerSettings } from './traced-step.js';

/** The shape of a training step and its evaluation, which decides which kernels they ask for. */
export interface StepShape extends Pick<TensorOptions, 'precision' | 'weightType' | 'matrixType' | 'lora'> {
  readonly model: ModelConfig;
  readonly settings: TrainerSettings;
  /** The batch of an evaluation; by default that of the step. */
  readonly evaluation?: BatchShape | undefined;
  /** The batch of probes, where there are any. */
  readonly probe?: BatchShape | undefined;
}

/** A step and an evaluation as they were laid out. */
export interface DryStep {
  /** The table whose `requests` are all that step and evaluation ask for; `used` are the variants they run with. */
  readonly variants: VariantTable;
  /** The count of all that would be allocated. */
  readonly memory: MemoryCount;
  readonly model: ModelTensors;
  /** The bytes of the model's weights. */
  readonly parameters: number;
  readonly step: TracedStep;
  readonly evaluation: TracedLosses;
  readonly probe: TracedLosses | undefined;
  /** The allocations of micro-batch, update, evaluation, probes, and the exchange of weights with an average. */
  readonly allocations: readonly Allocation[];
}

/**
 * Lays step and evaluation out without a device.
 * @throws UserError when the model is not sound, or the adapter has no f16.
 */
export function dryStep(
  adapter: AdapterDescription,
  { model: config, settings, evaluation: batch = settings, probe: probed, ...options }: StepShape,
  choices?: VariantChoices,
): DryStep {
  const variants = new VariantTable(adapter, choices);
  const memory = new MemoryCount(adapter);
  const planned = (graph: Graph, ...keep: Tensor[]): Allocation => allocate(memory, layOut(graph, { keep }), variants);
  const model = new ModelTensors(memory, config, { ...options, variants });
  const parameters = memory.bytes;
  const step = new TracedStep(memory, model, settings);
  const evaluation = new TracedLosses(memory, model, batch, { documentEnd: settings.documentEnd });
  const probe = probed && new TracedLosses(memory, model, probed, { hits: true });
  const allocations = [
    planned(step.microBatch),
    planned(step.update),
    planned(evaluation.graph, ...evaluation.kept),
    ...(probe ? [planned(probe.graph, ...probe.kept)] : []),
    ...(step.average ? [planned(step.swap)] : []),
  ];
  return { variants, memory, model, parameters, step, evaluation, probe, allocations };
}
