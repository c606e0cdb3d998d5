import type { Command } from 'commander';
import { UserError } from '../errors.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { readRun } from '../index.js';
import { replayFindings, startOfForgetting } from '../report/findings.js';
import {
  compareReplay,
  type Forgetting,
  forgettingOf,
  type ReplayComparison,
  sourceLanguageOf,
} from '../report/forgetting.js';
import { percent, short, signed } from '../report/numbers.js';
import { SHORT_UNITS, unitOf } from '../report/runs.js';
import { defineAction } from './command.js';
import { makeTable } from './table.js';

/** Adds the command `eval forgetting`. */
export function addEvalForgetting(group: Command): void {
  const command = group
    .command('forgetting')
    .description('what CPT runs forgot of the source language; with several, what replay cost and kept')
    .argument('<runs...>', 'folders of CPT runs with held-out sets in the source and the target language')
    .option('--source-language <name>', 'where the run of the source model is not to be found')
    .option('--out <file>', 'where the results go, as JSON');
  defineAction<{ sourceLanguage?: string; out?: string }, [string[]]>(command, async (terminal, options, folders) => {
    if (options.out) checkFilePlace(options.out);
    const runs = folders.map(readRun);
    const unit = unitOf(runs);
    const all = runs.map(run => {
      const source = options.sourceLanguage ?? sourceLanguageOf(run, runs);
      if (source === undefined && run.config.method === 'cpt') {
        const from = run.config.source?.checkpoint ?? run.config.source?.name;
        throw new UserError(
          `'${run.folder}': the run of its source model '${from}' is not to be found; ` +
            'name its language with --source-language',
        );
      }
      return forgettingOf(run, source ?? '', unit);
    });
    const comparisons = compareReplay(all);
    terminal.print(forgettingTable(all));
    terminal.print(startOfForgetting(all));
    for (const comparison of comparisons) {
      terminal.print(replayTable(comparison));
      for (const finding of replayFindings(comparison)) terminal.print(finding);
    }
    const result = {
      unit,
      start: 'own evaluation before the first step',
      runs: all.map(plainForgetting),
      replay: comparisons.map(plainComparison),
    };
    if (options.out) writeFileWhole(options.out, `${JSON.stringify(result, null, 2)}\n`);
    return result;
  });
}

function forgettingTable(all: readonly Forgetting[]): string {
  const unit = SHORT_UNITS[all[0]!.unit];
  const table = makeTable([
    'run',
    'replay',
    'tokens',
    `source loss (${unit})`,
    'change',
    'largest change',
    `target loss (${unit})`,
  ]);
  const ends = (language: string, curve: Forgetting['sourceCurve']) =>
    `${language} ${curve[0]!.loss.toFixed(4)} → ${curve.at(-1)!.loss.toFixed(4)}`;
  for (const { run, source, target, replay, sourceCurve, targetCurve, backwardTransfer, worst } of all) {
    table.push([
      run.config.name,
      percent(replay),
      short(sourceCurve.at(-1)!.tokens),
      ends(source, sourceCurve),
      signed(backwardTransfer),
      `${signed(worst.change)} at ${short(worst.tokens)}`,
      ends(target, targetCurve),
    ]);
  }
  return table.toString();
}

function replayTable({ source, target, unit, tokens, effects }: ReplayComparison): string {
  const table = makeTable([
    `after ${short(tokens)} tokens`,
    'replay',
    `${target} (${SHORT_UNITS[unit]})`,
    'price',
    'tokens lost',
    `${source} (${SHORT_UNITS[unit]})`,
    'gain',
  ]);
  for (const { forgetting, targetLoss, priceLoss, priceTokens, sourceLoss, gain } of effects) {
    table.push([
      forgetting.run.config.name,
      percent(forgetting.replay),
      targetLoss.toFixed(4),
      signed(priceLoss),
      short(priceTokens),
      sourceLoss.toFixed(4),
      signed(gain),
    ]);
  }
  return table.toString();
}

const plainForgetting = ({ run, ...rest }: Forgetting) => ({ run: run.config.name, folder: run.folder, ...rest });

const plainComparison = ({ effects, ...rest }: ReplayComparison) => ({
  ...rest,
  effects: effects.map(({ forgetting: { run, replay }, ...effect }) => ({ run: run.config.name, replay, ...effect })),
});
