/** What a study will take, found out before it starts: tokens and FLOPs of each run, and the time on an adapter. */
import { findModelFolder } from '../checkpoint/find.js';
import { readModelConfig } from '../checkpoint/hf-config.js';
import { matrixTypeIn } from '../checkpoint/model-folder.js';
import { originOf } from '../checkpoint/training-record.js';
import { UserError } from '../errors.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { chooseAdapter } from '../gpu/choose-adapter.js';
import { maxBindingBytes } from '../gpu/limits.js';
import { openDevice } from '../gpu/open-device.js';
import { learningRateAt } from '../optim/schedule.js';
import { evaluationCost } from '../run/evaluations.js';
import { runMemory } from '../run/memory.js';
import { resolveRun } from '../run/resolve.js';
import type { ResolvedRun } from '../run/resolved.js';
import { openData } from '../run/run-data.js';
import { microBatchFlops, timeMicroBatch } from '../run/speed.js';
import type { StudyPlan } from './plan.js';
import type { PlannedRun } from './planned-run.js';

export interface RunEstimate {
  readonly run: PlannedRun;
  readonly resolved: ResolvedRun;
  /** 6·N·D in FLOPs, without evaluations. */
  readonly flops: number;
  /**
   * The time with evaluations; undefined where the adapter would refuse the run, or no run was small enough to be
   * timed.
   */
  readonly seconds?: number;
  /** Why the adapter would refuse the run. */
  readonly refusal?: string;
}

export interface StudyEstimate {
  readonly adapter: AdapterDescription;
  readonly runs: readonly RunEstimate[];
}

/**
 * Returns every run with all its numbers, in the order of the plan. Without an adapter one that takes bindings of any
 * size is thought of, for machines that will not run the study themselves.
 * @throws UserError when the configuration of a run, its data and the adapter don't fit together.
 */
export function resolveStudy(plan: StudyPlan, adapter?: AdapterDescription): Map<string, ResolvedRun> {
  const resolved = new Map<string, ResolvedRun>();
  for (const { name, config, from } of plan.runs) {
    const data = openData(config.sources, config.heldOut);
    try {
      if (from && 'folder' in from) data.sources[0]!.tokens.checkTokenizerOf(findModelFolder(from.folder));
      const context = {
        data,
        maxBindingBytes: adapter ? maxBindingBytes(adapter) : Number.POSITIVE_INFINITY,
        ...(from && { from: startOf(from, resolved, config.lora && adapter) }),
      };
      resolved.set(name, resolveRun(config, context));
    } catch (error) {
      if (error instanceof UserError) throw new UserError(`run '${name}': ${error.message}`);
      throw error;
    } finally {
      data.close();
    }
  }
  return resolved;
}

/** Returns where a run starts; with an `adapter` also what a base keeps its matrices in on it. */
function startOf(
  from: NonNullable<PlannedRun['from']>,
  resolved: ReadonlyMap<string, ResolvedRun>,
  adapter: AdapterDescription | undefined,
) {
  if ('folder' in from) {
    const checkpoint = findModelFolder(from.folder);
    const stored = adapter && matrixTypeIn(checkpoint, adapter);
    return { model: readModelConfig(checkpoint), origin: originOf(checkpoint), stored };
  }
  const { model, tokens, flopsPerToken, parameters, schedule, steps, sources } = resolved.get(from.run)!;
  const learningRate = learningRateAt(schedule, steps, steps);
  const trained = { tokens, flops: tokens * flopsPerToken, learningRate, sources };
  const origin = { checkpoint: from.run, name: from.run, ...trained };
  return { model, origin: { ...origin, tokensPerParameter: tokens / parameters.total } };
}

/**
 * Estimates every run. It times a few micro-batches (forward, backward and AdamW) of every size that is small enough to
 * try; the other sizes get the speed of the largest timed one, in FLOP/s.
 * @throws UserError as `resolveStudy`.
 */
export async function estimateStudy(plan: StudyPlan, adapterName?: string): Promise<StudyEstimate> {
  const { chosen: adapter } = (await chooseAdapter(adapterName)).choice;
  const resolved = resolveStudy(plan, adapter);
  const refusals = new Map([...resolved].map(([name, run]) => [name, runMemory(adapter, run).refusals[0]]));
  const possible = [...resolved].filter(([name]) => refusals.get(name) === undefined).map(([, run]) => run);
  const speeds = await measureSpeeds(possible, adapterName);
  const largest = [...speeds.values()].sort((a, b) => a.stepFlops - b.stepFlops).at(-1);
  const runs = plan.runs.map((run): RunEstimate => {
    const it = resolved.get(run.name)!;
    const flops = it.tokens * it.flopsPerToken;
    const speed = speeds.get(sizeKey(it)) ?? largest;
    const refusal = refusals.get(run.name);
    if (refusal !== undefined) return { run, resolved: it, flops, refusal };
    if (!speed) return { run, resolved: it, flops };
    return { run, resolved: it, flops, seconds: (flops + (evaluationCost(it)?.flops ?? 0)) / speed.flopsPerSecond };
  });
  return { adapter, runs };
}

interface Speed {
  readonly stepFlops: number;
  readonly flopsPerSecond: number;
}

/** The most FLOPs of a micro-batch that is tried: a larger one would take a software adapter more than some seconds. */
const MOST_FLOPS = 1e11;

/** Returns one key for all runs whose micro-batches cost the same. */
const sizeKey = ({
  model,
  contextLength,
  microBatch,
  precision,
  momentType,
  gradientStorage,
  offload,
  weightType,
  checkpointing,
  lora,
}: ResolvedRun): string =>
  JSON.stringify([
    ...[model, contextLength, microBatch, precision, momentType, gradientStorage],
    ...[offload, weightType, checkpointing, lora],
  ]);

async function measureSpeeds(runs: readonly ResolvedRun[], adapterName?: string) {
  const speeds = new Map<string, Speed>();
  const device = await openDevice({ adapter: adapterName });
  try {
    for (const run of runs) {
      const stepFlops = microBatchFlops(run);
      if (speeds.has(sizeKey(run)) || stepFlops > MOST_FLOPS) continue;
      speeds.set(sizeKey(run), { stepFlops, flopsPerSecond: stepFlops / (await timeMicroBatch(device, run)) });
    }
  } finally {
    device.close();
  }
  return speeds;
}
