/** The command `merge`: one model out of several. */
import type { Command } from 'commander';
import { UserError } from '../errors.js';
import { findModelFolder, mergeModels } from '../index.js';
import { defineAction } from './command.js';
import { addWrittenModelOptions, type WrittenModelOptions, writeModel } from './written-model.js';

interface MergeCommandOptions extends WrittenModelOptions {
  base?: string;
  weights?: string;
}

/** Adds the command `merge`. */
export function addMergeCommand(program: Command): void {
  const command = program
    .command('merge')
    .description('one model out of several: the mean of their weights or, with --base, base + w (model - base)')
    .argument('<models...>', 'checkpoints, model folders, or runs (their latest checkpoints)')
    .option('--base <model>', 'the model that the others come from: what they learnt beyond it is added to it')
    .option('--weights <list>', 'a number for each model, as in 3,1 (by default 1 each)');
  addWrittenModelOptions(command, 'f32');
  defineAction<MergeCommandOptions, [string[]]>(command, async (terminal, options, given) => {
    const base = options.base === undefined ? undefined : findModelFolder(options.base);
    const weights = weightsOf(options.weights, given);
    const models = given.map((model, i) => ({ folder: findModelFolder(model), weight: weights[i]! }));
    const written = await writeModel(terminal, 'merge', options, how =>
      mergeModels(models, options.out, { ...how, base }),
    );
    return { models, ...(base !== undefined && { base }), ...written };
  });
}

function weightsOf(list: string | undefined, models: readonly string[]): number[] {
  if (list === undefined) return models.map(() => 1);
  const weights = list.split(',').map(text => (text.trim() === '' ? Number.NaN : Number(text)));
  if (weights.length === models.length && weights.every(Number.isFinite)) return weights;
  throw new UserError(`--weights '${list}' must be ${models.length} numbers with commas between, one for each model`);
}
