/** The plans of what can be profiled, laid out without a device. */
import { TracedLosses } from '../eval/token-losses.js';
import { TracedCache } from '../generate/traced-cache.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { MemoryCount } from '../gpu/memory.js';
import { ModelTensors, type TensorOptions } from '../model/model.js';
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
  const plans = tracedPlans(memory, profiled, options);
  const planned = plans.reduce((sum, { bytes }) => sum + bytes, 0);
  return {
    plans,
    persistentBytes: memory.bytes - planned,
    totalBytes: memory.bytes,
    refusals: memory.refusals,
  };
}

function tracedPlans(memory: MemoryCount, profiled: Profiled, options: TensorOptions): RepeatedPlan[] {
  const { what, settings } = profiled;
  const model = new ModelTensors(memory, profiled.config, options);
  const { variants } = model;
  if (what === 'step') {
    const { microBatch, update } = new TracedStep(memory, model, settings);
    return [
      { ...listPlan('micro-batch', microBatch, memory, { variants }), times: settings.microBatches },
      { ...listPlan('update', update, memory, { variants }), times: 1 },
    ];
  }
  if (what === 'eval') {
    const { graph, losses } = new TracedLosses(memory, model, settings);
    return [{ ...listPlan('evaluation', graph, memory, { keep: [losses], variants }), times: 1 }];
  }
  const { prefill, decode } = new TracedCache(memory, model, decodingShape(settings));
  return Object.entries({ prefill, decode }).map(([name, { graph, logits }]) => ({
    ...listPlan(name, graph, memory, { keep: [logits], variants }),
    times: 1,
  }));
}
