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
import type { CommandResult, Terminal } from './command.js';
import { makeTable } from './table.js';

/** The command `eval forgetting`. */
export async function evalForgetting(
  terminal: Terminal,
  options: { sourceLanguage?: string; out?: string },
  folders: string[],
): Promise<CommandResult> {
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
