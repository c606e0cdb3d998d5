/** What a run takes of the device's memory, counted by the code that would allocate it. */
import type { Arena } from '../autograd/arena.js';
import type { Graph } from '../autograd/graph.js';
import { layOut } from '../autograd/layout.js';
import { type Allocation, allocate, bytesOfAllocation } from '../autograd/plan.js';
import { bytesOf, sizeOf, type Tensor } from '../autograd/tensor.js';
import { TracedLosses } from '../eval/token-losses.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { MemoryCount } from '../gpu/memory.js';
import { ModelTensors } from '../model/model.js';
import { TracedStep } from '../train/traced-step.js';
import { evaluationShape } from './evaluations.js';
import type { ResolvedRun } from './resolve.js';
import { trainerSettings } from './step-shape.js';

/**
 * The bytes of device memory, in whole buffers. Gradients and optimizer state are updated in place, so there is one of
 * each.
 */
export interface RunMemory {
  readonly parameters: number;
  readonly gradients: number;
  /** The bytes of AdamW's two moments. */
  readonly optimizer: number;
  /**
   * The bytes of activations, their gradients, scratch and kernel parameters, for the training step and the evaluation.
   */
  readonly activations: number;
  /** The bytes of batches, rotation table, reports, and the buffer through which tensors are read for a checkpoint. */
  readonly other: number;
  /** The most at any time of a run: all of these together, since evaluation and step stay planned. */
  readonly peak: number;
  /** Why the adapter would refuse the run: buffers that exceed its limits. Empty where it would not. */
  readonly refusals: readonly string[];
}

/** Lays a run out as `train` would, and counts; nothing is allocated. */
export function runMemory(adapter: AdapterDescription, run: ResolvedRun): RunMemory {
  const memory = new MemoryCount(adapter);
  const planned = (graph: Graph, ...keep: Tensor[]): Allocation => allocate(memory, layOut(graph, { keep }));
  const model = new ModelTensors(memory, run.model, { precision: run.precision });
  const parameters = memory.bytes;
  const settings = trainerSettings(run);
  const step = new TracedStep(memory, model, settings);
  const evaluation = new TracedLosses(memory, model, evaluationShape(run));
  const plans = [planned(step.microBatch), planned(step.update), planned(evaluation.graph, evaluation.losses)];
  // losses and a checkpoint's parameters are read through one buffer, as large as the largest of them
  const read = [bytesOf(evaluation.losses), ...model.specs.map(({ shape }) => 4 * sizeOf(shape))];
  memory.createBuffer('readback', Math.max(step.history.sizeBytes, ...read));

  const sum = (sizes: number[]) => sizes.reduce((total, bytes) => total + bytes, 0);
  const inBuffers = ({ buffers }: Arena) => sum(buffers.map(({ sizeBytes }) => sizeBytes));
  const gradients = inBuffers(step.gradients);
  const optimizer = inBuffers(step.m) + inBuffers(step.v);
  const activations = sum(plans.map(bytesOfAllocation));
  return {
    parameters,
    gradients,
    optimizer,
    activations,
    other: memory.bytes - parameters - gradients - optimizer - activations,
    peak: memory.bytes,
    refusals: memory.refusals,
  };
}
