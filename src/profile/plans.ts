/** The plans of what can be profiled, laid out without a device. */
import type { Graph } from '../autograd/graph.js';
import type { Tensor } from '../autograd/tensor.js';
import { TracedLosses } from '../eval/token-losses.js';
import { TracedCache } from '../generate/traced-cache.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { MemoryCount } from '../gpu/memory.js';
import { ModelTensors, type TensorOptions } from '../model/tensors.js';
import { TracedStep } from '../train/traced-step.js';
import { listPlan, type PlanListing } from './plan-listing.js';
import { decodingShape, type Profiled } from './subject.js';

type RepeatedPlan = PlanListing & {
  /** How often the plan runs: a step repeats its micro-batch. */
  readonly times: number;
};

export interface PlanListings {
  /** The plans in the order in which they run. */
  readonly plans: readonly RepeatedPlan[];
  /**
   * The bytes of buffers that outlast a run: weights, gradients, optimizer state, batches, the cache of keys and
   * values.
   */
  readonly persistentBytes: number;
  /** The bytes of all buffers together. */
  readonly totalBytes: number;
  /** Why the adapter would refuse some of the buffers. */
  readonly refusals: readonly string[];
}

/** Lists the plans. @throws UserError when the model is not sound, the shape is none, or the adapter has no f16. */
export function listPlans(adapter: AdapterDescription, profiled: Profiled, options: TensorOptions): PlanListings {
  const memory = new MemoryCount(adapter);
  const model = new ModelTensors(memory, profiled.config, options);
  const { variants } = model;
  const plans = tracedGraphs(memory, model, profiled).map(({ name, graph, keep = [], times }) => ({
    ...listPlan(name, graph, memory, { keep, variants }),
    times,
  }));
  const planned = plans.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    plans,
    persistentBytes: memory.bytes - planned,
    totalBytes: memory.bytes,
    refusals: memory.refusals,
  };
}

/** A graph of a subject, the tensors whose values are read after a run, and how often it runs. */
interface TracedGraph {
  readonly name: string;
  readonly graph: Graph;
  readonly keep?: readonly Tensor[];
  readonly times: number;
}

/** Traces the graphs of a subject, in the order in which they run, in the variants of the model's table. */
export function tracedGraphs(memory: MemoryCount, model: ModelTensors, { what, settings }: Profiled): TracedGraph[] {
  if (what === 'step') {
    const { microBatch, update } = new TracedStep(memory, model, settings);
    return [
      { name: 'micro-batch', graph: microBatch, times: settings.microBatches },
      { name: 'update', graph: update, times: 1 },
    ];
  }
  if (what === 'eval') {
    const { graph, losses } = new TracedLosses(memory, model, settings, settings);
    return [{ name: 'evaluation', graph, keep: [losses], times: 1 }];
  }
  const { prefill, decode } = new TracedCache(memory, model, decodingShape(settings));
  return Object.entries({ prefill, decode }).map(([name, { graph, logits }]) => ({
    name,
    graph,
    keep: [logits],
    times: 1,
  }));
}
