/** The command `merge`: one model out of several. */
import { isAdapter } from '../checkpoint/weight-files.js';
import { UserError } from '../errors.js';
import { findModelFolder, mergeModels } from '../index.js';
import type { CommandResult, Terminal } from './command.js';
import { type WrittenModelOptions, writeModel } from './written-model.js';

interface MergeCommandOptions extends WrittenModelOptions {
  base?: string;
  weights?: string;
}

/** The command `merge`. */
export async function merge(terminal: Terminal, options: MergeCommandOptions, given: string[]): Promise<CommandResult> {
  const base = options.base === undefined ? undefined : findModelFolder(options.base);
  const weights = weightsOf(options.weights, given);
  const models = given.map((model, i) => ({
    folder: isAdapter(model) ? model : findModelFolder(model),
    weight: weights[i]!,
  }));
  const written = await writeModel(terminal, 'merge', options, how =>
    mergeModels(models, options.out, { ...how, base }),
  );
  return { models, ...(base !== undefined && { base }), ...written };
}

function weightsOf(list: string | undefined, models: readonly string[]): number[] {
  if (list === undefined) return models.map(() => 1);
  const weights = list.split(',').map(text => (text.trim() === '' ? Number.NaN : Number(text)));
  if (weights.length === models.length && weights.every(Number.isFinite)) return weights;
  throw new UserError(`--weights '${list}' must be ${models.length} numbers with commas between, one for each model`);
}
