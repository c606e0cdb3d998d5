/** The options of `train`, `cpt` and `resume`. */
import { type Command, Option } from 'commander';
import { configFields, type FieldName, MODEL_FIELDS } from '../../run/config.js';
import { HANG_SECONDS } from '../../run/context.js';
import { defineAction, example } from '../command.js';
import { addFieldOptions, CPT_FIELDS, collect, parseSource } from '../field-flags.js';
import { addHealthOptions } from '../health.js';
import { wholeNumber } from '../numbers.js';
import { addVerifyOption } from '../options.js';

const FIELDS = Object.keys(configFields) as FieldName[];

export function describeInit(command: Command): void {
  command
    .argument('[file]', 'file to write; one that is there is not replaced', 'run.yaml')
    .addOption(
      new Option('--data <name=folder[@weight]>', 'folder made by tokenize; repeat for a mixture').argParser(
        collect(parseSource),
      ),
    )
    .addOption(new Option('--size <preset>', 'size of a new model, as mini or 368M').conflicts('cpt'))
    .option('--cpt <checkpoint>', 'checkpoint, model folder or run to go on with, in the place of a new model')
    .option('--memory <size>', 'what the run may take of the device, as 24GB')
    .option('--out <folder>', "folder of the run (default: the first data's name, below runs/)");
  example(command, 'babelgrad init --data en=runs/data/en --size mini');
  defineAction(command, async () => (await import('../init.js')).init);
}

export function describeTrain(command: Command): void {
  addConfigOptions(command, CPT_FIELDS);
  example(command, 'babelgrad train --config english.yaml --tokens 10e6 --dry-run');
  defineAction(command, async () => (await import('../train.js')).train);
}

export function describeCpt(command: Command): void {
  command.requiredOption('--from <checkpoint>', 'checkpoint, model folder, or run (its latest checkpoint)');
  addConfigOptions(command, MODEL_FIELDS);
  example(command, 'babelgrad cpt --from runs/english --config french.yaml --out runs/french');
  defineAction(command, async () => (await import('../train.js')).train);
}

export function describeResume(command: Command): void {
  command
    .argument('<run>', 'folder of the run')
    .option('--checkpoint <name>', 'go on from this one, as step-00000400; later ones are moved aside')
    .option('--drop-bad-lines', 'leave out lines of its metrics that are broken, in place of an error');
  addVerifyOption(command);
  addHangOption(command);
  addHealthOptions(command);
  example(command, 'babelgrad resume runs/french');
  defineAction(command, async () => (await import('../train.js')).resume);
}

/** Adds a flag for every field of the configuration. Those in `others` are not shown: the verb does not take them. */
function addConfigOptions(command: Command, others: readonly FieldName[]): void {
  command
    .option('--config <file>', 'YAML file of the fields below, in camel case; flags win over it')
    .option(
      '--dry-run',
      'print what the run would take: time, device memory, FLOPs, evaluations, checkpoints; train and write nothing',
    )
    .addOption(
      new Option('--print-config', 'print a commented file for --config with every field; start nothing').conflicts(
        'dryRun',
      ),
    )
    .option(
      '--adapt',
      'where the device has no memory for the run: take smaller micro-batches of the same batch, then checkpointing',
    );
  addHangOption(command);
  addVerifyOption(command);
  addFieldOptions(command, FIELDS, others);
  addHealthOptions(command);
}

function addHangOption(command: Command): void {
  command.option(
    '--hang-seconds <seconds>',
    `take a device for lost that answers nothing for so long, and for 20 times what steps took; 0: never ` +
      `(default ${HANG_SECONDS})`,
    wholeNumber(0),
  );
}
