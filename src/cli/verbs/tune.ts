/** The options of `tune kernels`, which is also `tune` alone, `tune lr` and `tune batch`. */
import type { Command } from 'commander';
import { BUDGET_FIELDS, configFields, type FieldName } from '../../run/config.js';
import { FIRST_PLACES } from '../../sweep/rates.js';
import { defineAction, example } from '../command.js';
import { addFieldOptions, STEP_FIELDS } from '../field-flags.js';
import { positiveNumber, wholeNumber } from '../numbers.js';
import { adapterOption, addVerifyOption } from '../options.js';

export function describeTune(group: Command): void {
  addKernels(group);
  addRates(group);
  addBatch(group);
}

function addKernels(group: Command): void {
  const command = group
    .command('kernels', { isDefault: true })
    .description('find the fastest kernel variants for a model on this adapter; train and cpt then take them')
    .option('--config <file>', 'YAML file of a run, whose model and batch are tuned for; flags win over it')
    .option('--seconds <seconds>', 'time in all, about', positiveNumber, 120)
    .addOption(adapterOption())
    .option(
      '--show',
      'tune nothing: explain what was chosen before, for the model or, without one, for all that was tuned',
    );
  addFieldOptions(command, STEP_FIELDS);
  example(command, 'babelgrad tune kernels --config english.yaml');
  defineAction(command, async () => (await import('../tune-kernels.js')).tune);
}

/** The fields that a sweep decides for its runs. */
const OF_SWEEP: readonly FieldName[] = [
  ...(['name', 'out', ...BUDGET_FIELDS, 'evalEveryTokens', 'probeEveryTokens', 'tuneSeconds'] as const),
  ...(['checkpointEveryTokens', 'keepCheckpoints', 'keepEvery', 'keepBest', 'stopAfter'] as const),
  ...(['parallel', 'syncEvery', 'outerLearningRate', 'outerMomentum', 'gradientType'] as const),
];
const FIELDS = (Object.keys(configFields) as FieldName[]).filter(field => !OF_SWEEP.includes(field));

function addRates(group: Command): void {
  const command = group
    .command('lr')
    .description('find a learning rate by short runs around that of a run')
    .option('--config <file>', 'YAML file of a run, as train and cpt take it; flags win over it')
    .option(
      '--from <checkpoint>',
      'continue this checkpoint, model folder, or run (its latest checkpoint), as cpt does',
    )
    .option(
      '--out <folder>',
      "where the runs and the report go; a sweep that is there goes on (default: the run's out-lr)",
    )
    .option(
      '--tokens <count>',
      "budget of each short run (default: a tenth of the run's, and 100 steps at least)",
      wholeNumber(1),
    )
    .option('--rates <count>', 'the most rates that are tried', wholeNumber(FIRST_PLACES.length), 8)
    .option(
      '--factor <number>',
      'from one rate to the next at first, 1.1 to 1000 (default: the square root of 10)',
      positiveNumber,
    )
    .option('--seeds <count>', 'runs for each rate, with seeds of their own: two tell the noise', wholeNumber(1), 1)
    .option(
      '--language <name>',
      'whose held-out loss is made least (default: the one that the run is mostly trained on)',
    );
  addFieldOptions(command, FIELDS);
  example(command, 'babelgrad tune lr --config english.yaml --tokens 1e6 --seeds 2');
  defineAction(command, async () => (await import('../tune-lr.js')).tuneLr);
}

function addBatch(group: Command): void {
  const command = group
    .command('batch')
    .description('the gradient noise scale of checkpoints, and what batch it suggests')
    .argument('<checkpoints...>', 'checkpoints of runs, or runs (their latest checkpoints)')
    .option(
      '--small <sequences>',
      'of a small batch (default: about 1024 tokens, a micro-batch at most)',
      wholeNumber(1),
    )
    .option('--large <sequences>', 'of a large batch, a multiple of the small (default: 16 times it)', wholeNumber(2))
    .option('--draws <count>', 'large batches that are drawn and compared', wholeNumber(2), 16)
    .option('--seed <seed>', 'of the order in which sequences are drawn', wholeNumber(0), 0)
    .addOption(adapterOption());
  addVerifyOption(command);
  example(command, 'babelgrad tune batch runs/english');
  defineAction(command, async () => (await import('../tune-batch.js')).tuneBatch);
}
