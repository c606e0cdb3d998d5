/** Smaller micro-batches for devices that have no memory for large ones. */
import { UserError } from '../errors.js';
import { OutOfMemoryError } from '../gpu/device-errors.js';
import { mebibytes } from '../gpu/memory.js';
import type { RunConfig } from './config.js';
import type { RunSummary, TrainContext } from './context.js';
import { dryRun } from './dry-run.js';

export interface AdaptOptions extends Partial<Pick<TrainContext, 'device' | 'observer' | 'health'>> {
  readonly from?: string | undefined;
  readonly adapt?: boolean | undefined;
}

/**
 * Starts a run. Where the device has no memory for it and the options say so, it is started again with smaller
 * micro-batches, which steps accumulate to the same batch.
 * @throws UserError when there is no memory for the run, with what would take less.
 */
export async function adapting(
  config: RunConfig,
  options: AdaptOptions,
  start: (config: RunConfig) => Promise<RunSummary>,
): Promise<RunSummary> {
  for (let given = config; ; ) {
    try {
      return await start(given);
    } catch (error) {
      if (!(error instanceof OutOfMemoryError)) throw error;
      const smaller = await smallerOf(given, options);
      if (!smaller) throw new UserError(`${error.message}; use a smaller model, context length or precision f16`);
      const { change, words } = smaller;
      if (!options.adapt || options.device) throw new UserError(`${error.message}; ${words}; --adapt takes what fits`);
      options.observer?.onWarning?.(`${error.message}; going on with less: ${words}`);
      given = { ...given, ...change };
    }
  }
}

/** Finds what takes less memory and trains the same: smaller micro-batches, then checkpointing. */
async function smallerOf(config: RunConfig, { from, health }: AdaptOptions) {
  const { run, memory } = await dryRun(config, { from, health });
  const sequences = run.batchTokens / run.contextLength;
  let microBatch = run.microBatch - 1;
  while (microBatch > 1 && sequences % microBatch !== 0) microBatch--;
  const changes: { readonly change: Partial<RunConfig>; readonly flag: string }[] = [];
  if (microBatch > 0) changes.push({ change: { microBatch }, flag: `--micro-batch ${microBatch}` });
  if (run.checkpointing !== 'layer')
    changes.push({ change: { checkpointing: 'layer' }, flag: '--checkpointing layer' });
  for (const { change, flag } of changes) {
    const { memory: less } = await dryRun({ ...config, ...change }, { from, health });
    if (less.peak < memory.peak) {
      return { change, words: `${flag} takes ${mebibytes(less.peak)} in place of ${mebibytes(memory.peak)}` };
    }
  }
  return undefined;
}
