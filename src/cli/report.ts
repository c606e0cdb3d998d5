import type { Command } from 'commander';
import { UserError } from '../errors.js';
import { checkFilePlace, writeFileWhole } from '../files.js';
import { compareRuns, readRun, reportPage } from '../index.js';
import { defineAction } from './command.js';
import { comparisonTable } from './comparison.js';

interface ReportOptions {
  out: string;
  title: string;
  sourceLanguage?: string;
}

/** Adds the command `report`. */
export function addReportCommand(program: Command): void {
  const command = program
    .command('report')
    .description('compare runs: a table, and one HTML page with their curves')
    .argument('<runs...>', 'folders of runs')
    .option('--out <file>', 'where the page goes', 'report.html')
    .option('--title <title>', 'title of the page', 'Training report')
    .option('--source-language <name>', 'language of the source model, where its run is not to be found');
  defineAction<ReportOptions>(command, async (terminal, { out, title, sourceLanguage }, folders) => {
    checkFilePlace(out);
    const runs = (folders as unknown as string[]).map(readRun);
    const names = runs.map(run => run.config.name);
    const twice = names.find((name, i) => names.indexOf(name) !== i);
    if (twice) throw new UserError(`two runs are named '${twice}'; give one another name in its config.json`);
    writeFileWhole(out, reportPage(runs, title, sourceLanguage));
    terminal.print(comparisonTable(runs));
    terminal.print(`report: ${out}`);
    const savings = compareRuns(runs).map(({ scratch, cpt, language, unit, savings: found }) => ({
      runs: { scratch: scratch.config.name, cpt: cpt.config.name },
      language,
      unit,
      ...found,
    }));
    return { path: out, runs: names, savings };
  });
}
