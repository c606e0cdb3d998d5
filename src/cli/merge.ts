/** The command `merge`: one model out of several. */
import { type Command, Option } from 'commander';
import { UserError } from '../errors.js';
import { findModelFolder, mergeModels } from '../index.js';
import { short } from '../report/numbers.js';
import { addVerifyOption } from './checked-files.js';
import { defineAction } from './command.js';
import { DTYPES } from './export.js';
import { byteSize } from './numbers.js';

interface MergeCommandOptions {
  out: string;
  base?: string;
  weights?: string;
  dtype: keyof typeof DTYPES;
  shardSize: number;
  verify: boolean;
}

/** Adds the command `merge`. */
export function addMergeCommand(program: Command): void {
  const command = program
    .command('merge')
    .description('one model out of several: the mean of their weights or, with --base, base + w (model - base)')
    .argument('<models...>', 'checkpoints, model folders, or runs (their latest checkpoints)')
    .requiredOption('--out <folder>', 'where it goes')
    .option('--base <model>', 'the model that the others come from: what they learnt beyond it is added to it')
    .option('--weights <list>', 'a number for each model, as in 3,1 (by default 1 each)')
    .addOption(new Option('--dtype <type>', 'of the weights').choices(Object.keys(DTYPES)).default('f32'))
    .option('--shard-size <size>', 'bytes of a file above which there are several, as in 500MB', byteSize, 5e9);
  addVerifyOption(command);
  defineAction<MergeCommandOptions, [string[]]>(command, async (terminal, options, given) => {
    const { out, dtype, shardSize, verify } = options;
    const base = options.base === undefined ? undefined : findModelFolder(options.base);
    const weights = weightsOf(options.weights, given);
    const models = given.map((model, i) => ({ folder: findModelFolder(model), weight: weights[i]! }));
    let progress: ReturnType<typeof terminal.progress> | undefined;
    const { weights: files, bytes } = await mergeModels(models, out, {
      type: DTYPES[dtype],
      base,
      verify,
      shardBytes: shardSize,
      onNote: terminal.note,
      onProgress(done, total) {
        progress ??= terminal.progress('merge', total, 'bytes');
        progress.update(done);
      },
    }).finally(() => progress?.stop());
    terminal.print(`${out}: ${short(bytes)} bytes of ${dtype} weights in ${files.length} file(s)`);
    return { models, ...(base !== undefined && { base }), out, dtype, bytes, files };
  });
}

function weightsOf(list: string | undefined, models: readonly string[]): number[] {
  if (list === undefined) return models.map(() => 1);
  const weights = list.split(',').map(text => (text.trim() === '' ? Number.NaN : Number(text)));
  if (weights.length === models.length && weights.every(Number.isFinite)) return weights;
  throw new UserError(`--weights '${list}' must be ${models.length} numbers with commas between, one for each model`);
}
