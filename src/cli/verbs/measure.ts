/** The options of `bench` and `profile`. */
import { type Command, Option } from 'commander';
import { describeWorks } from '../../../bench/catalogue.js';
import { SUBJECTS } from '../../profile/subject.js';
import type { FieldName } from '../../run/config.js';
import { defineAction, example } from '../command.js';
import { addFieldOptions, STEP_FIELDS } from '../field-flags.js';
import { positiveNumber, wholeNumber } from '../numbers.js';
import { adapterOption } from '../options.js';
import { wrap } from '../table.js';

export function describeBench(command: Command): void {
  command
    .argument('[works...]', 'what to measure')
    .option('--out <file or folder>', 'where to write all samples (benchmark.json) and a page (benchmark.html)')
    .addOption(adapterOption())
    .optionsGroup('How long:')
    .option('--rounds <count>', 'rounds over all works', wholeNumber(1), 5)
    .option(
      '--seconds <seconds>',
      'time for each work in each round, about; 0.5, of gpu 0.2 unless given',
      positiveNumber,
    )
    .option('--minutes <minutes>', 'of gpu: when the last part begins, at the latest', positiveNumber, 7)
    .optionsGroup('How large:')
    .option('--size <sizes>', 'sizes of a single work, with commas between', sizes)
    .option('--trial', 'of gpu: small sizes and few kernels, to see that it works')
    .addHelpText(
      'after',
      () =>
        `\nWorks:\n${describeWorks()
          .flatMap(line => wrap(`  ${line}`, 80))
          .join('\n')}`,
    );
  example(command, 'babelgrad bench matmul --size 512 --rounds 3 --out benchmarks/here');
  defineAction(command, async () => (await import('../bench.js')).bench);
}

/** Parses whole numbers above 0 with commas between. */
function sizes(text: string): number[] {
  return text.split(',').map(wholeNumber(1));
}

const PROFILE_FIELDS: readonly FieldName[] = [...STEP_FIELDS, 'deterministic', 'gradientType'];

export function describeProfile(command: Command): void {
  command
    .option('--model <checkpoint>', 'checkpoint, model folder, or run (its latest checkpoint)')
    .option('--config <file>', 'YAML file of a run, whose model and batch are profiled; flags win over it')
    .addOption(
      new Option(
        '--what <work>',
        'step: an optimizer step; eval: the losses of --micro-batch sequences (8); decode: one more token of each of ' +
          '--micro-batch sequences (1), the last of --context-length',
      )
        .choices(SUBJECTS)
        .default('step'),
    )
    .option('--steps <count>', 'replays, of which medians are told, after one that warms up', wholeNumber(1), 5)
    .option('--plan', 'time nothing: list nodes, tensors, the memory that they share, and how long each lives')
    .option('--trace <file>', "where one replay goes in Chrome's trace format, for ui.perfetto.dev")
    .addOption(adapterOption());
  addFieldOptions(command, PROFILE_FIELDS);
  example(command, 'babelgrad profile --preset mini --vocab-size 2048 --trace step.json');
  defineAction(command, async () => (await import('../profile.js')).runProfile);
}
