/** What a run takes of the device's memory, counted by the code that would allocate it. */
import type { Arena } from '../autograd/arena.js';
import { bytesOfAllocation } from '../autograd/plan.js';
import { bytesOf, sizeOf } from '../autograd/tensor.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { PIECE_BYTES } from '../gpu/readback.js';
import { dryStep, type StepShape } from '../train/dry-step.js';
import type { ResolvedRun } from './resolved.js';
import { shapeOf } from './step-shape.js';

/**
 * The bytes of device memory, in whole buffers. Gradients and optimizer state are updated in place, so there is one of
 * each.
 */
export interface RunMemory {
  readonly parameters: number;
  readonly gradients: number;
  /** The bytes of AdamW's two moments; of those in host memory, of the slots that they pass through. */
  readonly optimizer: number;
  /** The bytes of moments that are kept in host memory: no part of the peak. */
  readonly host: number;
  /** The bytes of the running average of weights; 0 where the run keeps none. */
  readonly average: number;
  /**
   * The bytes of activations, their gradients, scratch and kernel parameters, for the training step, the evaluation and
   * probes.
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
export const runMemory = (adapter: AdapterDescription, run: ResolvedRun): RunMemory =>
  stepMemory(adapter, shapeOf(run));

/** Counts the same for a step and its evaluation, whatever they are to be trained on. */
export function stepMemory(adapter: AdapterDescription, shape: StepShape): RunMemory {
  const { memory, model, parameters, step, evaluation, probe, allocations } = dryStep(adapter, shape);
  // losses and a checkpoint's parameters are read through one buffer, as large as the largest of them or of its pieces
  const read = [
    bytesOf(evaluation.losses),
    probe ? bytesOf(probe.losses) : 0,
    ...model.saved.map(({ shape }) => Math.min(4 * sizeOf(shape), PIECE_BYTES)),
  ];
  memory.createBuffer('readback', Math.max(step.history.sizeBytes, ...read));

  const sum = (sizes: number[]) => sizes.reduce((total, bytes) => total + bytes, 0);
  const inBuffers = ({ buffers }: Pick<Arena, 'buffers'>) => sum(buffers.map(({ sizeBytes }) => sizeBytes));
  const gradients = inBuffers(step.gradients);
  const optimizer = inBuffers(step.moments);
  const average = step.average ? inBuffers(step.average) : 0;
  const activations = sum(allocations.map(bytesOfAllocation));
  return {
    parameters,
    gradients,
    optimizer,
    host: step.moments.host?.hostBytes ?? 0,
    average,
    activations,
    other: memory.bytes - parameters - gradients - optimizer - average - activations,
    peak: memory.bytes,
    refusals: memory.refusals,
  };
}
