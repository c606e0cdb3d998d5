import { UserError } from '../errors.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { compareRuns, readRun, reportPage } from '../index.js';
import { madeBy } from '../report/made.js';
import type { CommandResult, Terminal } from './command.js';
import { comparisonTable } from './comparison.js';

interface ReportOptions {
  out: string;
  title: string;
  sourceLanguage?: string;
}

/** The command `report`. */
export async function report(
  terminal: Terminal,
  { out, title, sourceLanguage }: ReportOptions,
  folders: string[],
): Promise<CommandResult> {
  checkFilePlace(out);
  const runs = (folders as unknown as string[]).map(readRun);
  const names = runs.map(run => run.config.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) throw new UserError(`two runs are named '${twice}'; give one another name in its config.json`);
  const command = ['report', ...folders, '--out', out].join(' ');
  writeFileWhole(out, reportPage(runs, title, sourceLanguage, madeBy(command)));
  terminal.print(comparisonTable(runs));
  terminal.print(`report: ${out}`);
  const savings = compareRuns(runs).map(({ scratch, cpt, language, unit, savings: found }) => ({
    runs: { scratch: scratch.config.name, cpt: cpt.config.name },
    language,
    unit,
    ...found,
  }));
  return { path: out, runs: names, savings };
}
