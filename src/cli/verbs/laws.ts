/** The options of `fit` and `plan`. */
import { type Command, InvalidArgumentError, Option } from 'commander';
import { ANNEAL_SHAPES, COOLDOWN_SHAPES, SCHEDULES } from '../../optim/schedule.js';
import { defaults } from '../../run/config.js';
import { curveLaws } from '../../scaling/curve-laws.js';
import type { Holdout } from '../../scaling/holdout.js';
import { mixtureLaws } from '../../scaling/mixture.js';
import { exclusions } from '../../scaling/points.js';
import { publishedLaws } from '../../scaling/published.js';
import { defineAction, example } from '../command.js';
import { collectPairs } from '../input.js';
import { linkSpeed, positiveNumber, share, wholeNumber } from '../numbers.js';
import { adapterOption } from '../options.js';

export function describeFit(command: Command): void {
  command
    .argument('<points...>', 'CSV file with a header; for laws of curves, CSV files of step, lr, loss, or runs')
    .addOption(
      new Option(
        '--law <law>',
        'E + A/N^alpha + B/D^beta; the same with B/(D^beta N^gamma) for CPT; k C^-c; what repeated tokens are ' +
          'worth; laws of whole loss curves with their learning rate',
      )
        .choices(['chinchilla', 'cpt', 'compute', 'repetition', ...curveLaws])
        .makeOptionMandatory(),
    )
    .option('--out <file>', 'where to write the fit, as JSON')
    .optionsGroup('What the law builds on:')
    .option(
      '--scratch <fit.json>',
      'cpt: the chinchilla fit of the runs from scratch, whose E, A, alpha are kept; repetition: the fit that is kept',
    )
    .option('--decay <lambda>', 'laws of annealing: momentum of the annealing area (default: what fits best)', share)
    .option('--source <curve>', 'annealing-cpt: the curve of the source model')
    .optionsGroup('Which rows:')
    .option('--column <field=column>', 'name of the column that holds a field; repeat', collectPairs)
    .option('--where <column=value>', 'use only rows with this text there; repeat', collectPairs)
    .addOption(
      new Option('--exclude <rows...>', 'leave out repeated rows, points before warmupTokens, or not annealed').choices(
        exclusions,
      ),
    )
    .optionsGroup('Errors and intervals:')
    .option(
      '--holdout <what>',
      'judge laws by points not shown: largest (size), last (third of tokens), or K folds',
      holdoutOf,
    )
    .option('--bootstrap <count>', 'resamples for the intervals; 0: none', wholeNumber(0), 200)
    .addOption(
      new Option('--resample <what>', 'what a resample draws; runs: all points of a run together')
        .choices(['rows', 'runs'])
        .default('rows'),
    )
    .option('--seed <seed>', 'of the resamples', wholeNumber(0), 0);
  example(command, 'babelgrad fit points.csv --law chinchilla --out scratch.json');
  defineAction(command, async () => (await import('../fit.js')).fit);
}

function holdoutOf(text: string): Holdout {
  if (text === 'largest' || text === 'last') return text;
  const folds = Number(text);
  if (Number.isInteger(folds) && folds >= 2 && folds <= 100) return folds;
  throw new InvalidArgumentError('It must be largest, last, or a number of folds from 2 to 100.');
}

export function describePlan(command: Command): void {
  const names = [...publishedLaws.keys()].join(', ');
  command
    .argument('[run]', 'with a law of curves: a run, or a curve, whose first part is known')
    .requiredOption('--law <law>', `a fit made by fit --out, or one of ${names}`)
    .option('--other <law>', 'the law of the other strategy, where the first does not bring it')
    .optionsGroup('What is given:')
    .option('--compute <flops>', 'FLOPs to spend', positiveNumber)
    .option('--tokens <count>', 'tokens that are to be the optimum', positiveNumber)
    .option(
      '--parameters <count>',
      'parameters that are to be the optimum; with --tokens: that very run',
      positiveNumber,
    )
    .option('--unique-tokens <count>', 'different tokens that there are: more are passes over them', positiveNumber)
    .optionsGroup('Time:')
    .option('--tokens-per-second <rate>', 'how fast the planned model trains, for the wall-clock', positiveNumber)
    .option('--measure', 'measure for a few seconds how fast this machine trains, for the wall-clock')
    .addOption(adapterOption());
  addReplayOptions(command);
  addScheduleOptions(command);
  addRanksOptions(command);
  example(command, 'babelgrad plan --law paper-cpt --compute 1e20');
  defineAction(command, async () => (await import('../plan.js')).plan);
}

function addReplayOptions(command: Command): void {
  command
    .optionsGroup('Replay:')
    .option('--replay-points <points>', 'CSV with replay and sourceLoss: proposes how much to replay')
    .addOption(
      new Option(
        '--replay-law <law>',
        'of the replay points: S − K ln(r + ρ), or a published one, which has sizes where three were run',
      )
        .choices(['log', ...mixtureLaws])
        .default('log'),
    )
    .option(
      '--source-loss-limit <loss>',
      "largest loss allowed in the source language, in the points' unit",
      positiveNumber,
    )
    .option(
      '--column <field=column>',
      'name of the column that holds a field of the replay points; repeat',
      collectPairs,
    )
    .option('--where <column=value>', 'use only replay points with this text there; repeat', collectPairs);
}

function addScheduleOptions(command: Command): void {
  command
    .optionsGroup('The end of a run, with a law of curves:')
    .addOption(
      new Option('--schedule <schedule>', 'with a law of curves: the end of a run under this one').choices(SCHEDULES),
    )
    .option('--steps <count>', 'of the run', wholeNumber(1))
    .option('--learning-rate <rate>', 'the peak rate; for anneal, the rate that the run comes from', positiveNumber)
    .option('--warmup <share>', `share of the steps in which the rate rises (${defaults.warmup})`, share)
    .option('--min-learning-rate-ratio <ratio>', `end of a decay (${defaults.minLearningRateRatio})`, share)
    .option('--decay <share>', `wsd, infinite: share of the steps, at the end (${defaults.decay})`, share)
    .option('--cooldown <share>', `infinite: share of the steps (${defaults.cooldown})`, share)
    .option(
      '--constant-learning-rate-ratio <ratio>',
      `infinite (${defaults.constantLearningRateRatio})`,
      positiveNumber,
    )
    .addOption(new Option('--cooldown-shape <shape>', 'infinite').choices(COOLDOWN_SHAPES))
    .addOption(new Option('--anneal-shape <shape>', 'infinite, anneal').choices(ANNEAL_SHAPES));
}

function addRanksOptions(command: Command): void {
  command
    .optionsGroup('Several ranks:')
    .option(
      '--ranks <count>',
      'processes to train on, a GPU each: projects steps and time, with --link',
      wholeNumber(1),
    )
    .option('--link <speed>', 'speed of the link of a rank in bits/s: 100Gb', text => ({
      name: text,
      bits: linkSpeed(text),
    }))
    .option('--batch-tokens <count>', "with --ranks: tokens of a step (default: the size's recipe)", wholeNumber(1))
    .option('--figure <file>', 'with --ranks: .svg or .png of the efficiency over 1 Gb, 10 Gb and 100 Gb');
}
