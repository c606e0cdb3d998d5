/** The options of `eval loss`, `eval tasks`, `eval probe` and `eval forgetting`. */
import type { Command } from 'commander';
import { TASK_NAMES } from '../../tasks/task.js';
import { defineAction, example } from '../command.js';
import { wholeNumber } from '../numbers.js';
import {
  adapterOption,
  addVerifyOption,
  modelOption,
  onBadRowOption,
  precisionOption,
  specialTokensOption,
} from '../options.js';
import { wrap } from '../table.js';

export function describeEval(group: Command): void {
  addLoss(group);
  addTasks(group);
  addProbe(group);
  addForgetting(group);
}

function addLoss(group: Command): void {
  const command = group
    .command('loss')
    .description('loss, perplexity and bits per byte of a model, by language')
    .addOption(modelOption())
    .requiredOption(
      '--data <name=path...>',
      'folders made by tokenize (their held-out splits), or text files; each name is a row (default: ' +
        "the path's last part)",
    )
    .option('--out <file>', 'where the results go, as JSON')
    .optionsGroup('Text:')
    .option('--field <name>', 'field or column that holds the text in .jsonl and .parquet', 'text')
    .addOption(specialTokensOption('text'))
    .addOption(onBadRowOption())
    .optionsGroup('Computing:')
    .option('--context-length <tokens>', 'tokens of a sequence', wholeNumber(1), 128)
    .option('--batch <sequences>', 'sequences that run at once', wholeNumber(1), 8)
    .option('--document-mask', 'attention within documents alone, as a run with documentMask is evaluated')
    .addOption(precisionOption())
    .addOption(adapterOption());
  addVerifyOption(command);
  example(command, 'babelgrad eval loss --model runs/french --data fr=data/fr en=data/en');
  defineAction(command, async () => (await import('../eval-loss.js')).evalLoss);
}

function addTasks(group: Command): void {
  const command = group
    .command('tasks')
    .description('zero-shot multiple choice by log-likelihood, as lm-evaluation-harness does it')
    .addOption(modelOption())
    .requiredOption('--task <name=path...>', 'a task and its file (.jsonl, also .gz or .zst, or .parquet)')
    .option('--limit <documents>', 'only the first of each task', wholeNumber(1))
    .option('--out <file>', 'where the results go, as JSON, with the log-likelihoods of every choice')
    .optionsGroup('Computing:')
    .option(
      '--context-length <tokens>',
      "tokens of a sequence; longer ones lose their beginning (default: the model's positions)",
      wholeNumber(1),
    )
    .option('--batch-tokens <tokens>', 'tokens that run at once', wholeNumber(1), 8192)
    .addOption(specialTokensOption('text'))
    .addOption(precisionOption())
    .addOption(adapterOption())
    .addHelpText('after', `\n${wrap(`Tasks: ${TASK_NAMES.join(', ')}, and multiple_choice:NAME`, 80).join('\n')}`);
  addVerifyOption(command);
  example(command, 'babelgrad eval tasks --model runs/french --task xnli_fr=xnli/fr.jsonl');
  defineAction(command, async () => (await import('../eval-tasks.js')).evalTasks);
}

function addProbe(group: Command): void {
  const command = group
    .command('probe')
    .description('what a model does in context: copying a segment, and going on after A with what came after A before')
    .argument('<model>', 'checkpoint, model folder, or run (its latest checkpoint)')
    .option(
      '--data <name=folder...>',
      'folders made by tokenize, from whose held-out tokens tasks are made (default: those of the run)',
    )
    .option('--out <file>', 'where the results go, as JSON')
    .optionsGroup('Computing:')
    .option('--context-length <tokens>', "the most tokens of a sequence (default: the run's, or 255)", wholeNumber(1))
    .addOption(precisionOption())
    .addOption(adapterOption());
  addVerifyOption(command);
  example(command, 'babelgrad eval probe runs/french');
  defineAction(command, async () => (await import('../eval-probe.js')).evalProbe);
}

function addForgetting(group: Command): void {
  const command = group
    .command('forgetting')
    .description('what CPT runs forgot of the source language; with several, what replay cost and kept')
    .argument('<runs...>', 'folders of CPT runs with held-out sets in the source and the target language')
    .option('--source-language <name>', 'where the run of the source model is not to be found')
    .option('--out <file>', 'where the results go, as JSON');
  example(command, 'babelgrad eval forgetting runs/cpt-replay-0 runs/cpt-replay-10 runs/english');
  defineAction(command, async () => (await import('../eval-forgetting.js')).evalForgetting);
}
