/** What a run would do and take, found out without starting it. */
import { sizeOf } from '../autograd/tensor.js';
import { findModelFolder } from '../checkpoint/find.js';
import { readModelConfig } from '../checkpoint/hf-config.js';
import { checkModelFolder, matrixTypeIn } from '../checkpoint/model-folder.js';
import { originOf } from '../checkpoint/training-record.js';
import type { AdapterDescription } from '../gpu/adapters.js';
import { chooseAdapter } from '../gpu/choose-adapter.js';
import { maxBindingBytes } from '../gpu/limits.js';
import { bytesOfMoments } from '../train/moments.js';
import { checkOptimizerState } from './checkpoint.js';
import type { RunConfig } from './config.js';
import { notesOf } from './continuation.js';
import { fitMemory, memoryNotes } from './fit-memory.js';
import { checkWatched, type HealthOptions } from './health.js';
import { loraNotes } from './lora.js';
import { type RunMemory, runMemory } from './memory.js';
import { parameterNotes, trainedGroups } from './parameter-groups.js';
import { repeatNotes } from './repeats.js';
import { resolveRun } from './resolve.js';
import type { ResolvedRun } from './resolved.js';
import { type Data, openData } from './run-data.js';

/** A run that was not started: every number of it, and the device memory it would take. */
export interface DryRun {
  readonly run: ResolvedRun;
  readonly memory: RunMemory;
  readonly adapter: AdapterDescription;
  /** The bytes of a checkpoint on disk, without the headers of its files. */
  readonly checkpointBytes: number;
  /** What the user should know before starting the run. */
  readonly notes: readonly string[];
}

/** The bytes of a weight in a checkpoint, and of its average: f32. */
const WEIGHT_BYTES = 4;

/**
 * Finds out what `startRun` would do on the configured adapter, without making a buffer or writing a file.
 * @throws UserError when configuration, data and adapter don't fit together. A lack of memory does not throw.
 * @example
 * import { dryRun, parseConfig } from 'babelgrad';
 *
 * const sources = [{ name: 'fr', path: 'data/fr', weight: 0.9 }, { name: 'en', path: 'data/en', weight: 0.1 }];
 * const config = parseConfig({ out: 'runs/french', sources, batchTokens: 512, tokens: 5120 });
 * const { run, memory, notes } = await dryRun(config, { from: 'runs/english' });
 * console.log(run.steps, memory.peak, notes);
 */
export async function dryRun(
  config: RunConfig,
  { from, health }: { readonly from?: string | undefined; readonly health?: HealthOptions | undefined } = {},
): Promise<DryRun> {
  const checkpoint = from === undefined ? undefined : findModelFolder(from);
  const data = openData(config.sources, config.heldOut);
  try {
    const { chosen: adapter } = (await chooseAdapter(config.adapter)).choice;
    const checked = checkpoint ? checkModelFolder(checkpoint) : [];
    const run = resolve(config, checkpoint, data, adapter, health);
    const tokenizerBytes = Buffer.byteLength(data.tokenizerJson);
    const moments = trainedGroups(run).reduce((sum, group) => sum + bytesOfMoments(group, run.momentType), 0);
    const averageBytes = run.emaDecay === undefined ? 0 : WEIGHT_BYTES * run.parameters.total + tokenizerBytes;
    const saved = run.lora
      ? trainedGroups(run).reduce((sum, { shape }) => sum + sizeOf(shape), 0)
      : run.parameters.total;
    const checkpointBytes = WEIGHT_BYTES * saved + moments + tokenizerBytes + averageBytes;
    return {
      run,
      memory: runMemory(adapter, run),
      adapter,
      checkpointBytes,
      notes: [...checked, ...notesBefore(config, run)],
    };
  } finally {
    data.close();
  }
}

/** Returns what a user should know of a run before it starts. */
export const notesBefore = (config: RunConfig, run: ResolvedRun): string[] => [
  ...memoryNotes(config, run),
  ...parameterNotes(run),
  ...loraNotes(run),
  ...notesOf(run),
  ...repeatNotes(run),
];

/** Resolves a run that starts from a checkpoint, or new. @throws UserError as `dryRun`. */
export function resolve(
  config: RunConfig,
  checkpoint: string | undefined,
  data: Data,
  adapter: AdapterDescription,
  health: HealthOptions | undefined,
): ResolvedRun {
  if (checkpoint) data.sources[0]!.tokens.checkTokenizerOf(checkpoint); // the sources' own are all one
  const stored = checkpoint && config.lora ? matrixTypeIn(checkpoint, adapter) : undefined;
  const from = checkpoint && { model: readModelConfig(checkpoint), origin: originOf(checkpoint), stored };
  const context = { data, maxBindingBytes: maxBindingBytes(adapter), ...(from && { from }) };
  const resolved = (given: RunConfig) => resolveRun(given, context);
  const run =
    config.memory === undefined ? resolved(config) : fitMemory(config, resolved, adapter, health !== undefined);
  checkWatched(run, health);
  if (run.optimizerState === 'keep') checkOptimizerState(checkpoint!, trainedGroups(run));
  return run;
}
