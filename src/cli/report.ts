import { dirname, join } from 'node:path';
import { UserError } from '../errors.js';
import { checkFilePlace, makeFolder, writeFileWhole } from '../files.js';
import { compareRuns, eventFile, metricsCsv, readRun, reportPage } from '../index.js';
import { madeBy } from '../report/made.js';
import type { CommandResult, Terminal } from './command.js';
import { comparisonTable } from './comparison.js';

interface ReportOptions {
  out: string;
  title: string;
  sourceLanguage?: string;
  csv?: string;
  tensorboard?: string;
}

/** TensorBoard reads files with this in their names; one name, so that a later report replaces the file. */
const EVENTS = 'events.out.tfevents.babelgrad';

/** The command `report`. */
export async function report(
  terminal: Terminal,
  { out, title, sourceLanguage, csv, tensorboard }: ReportOptions,
  folders: string[],
): Promise<CommandResult> {
  checkFilePlace(out);
  if (csv !== undefined) checkFilePlace(csv);
  const runs = (folders as unknown as string[]).map(readRun);
  const names = runs.map(run => run.config.name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice) throw new UserError(`two runs are named '${twice}'; give one another name in its config.json`);
  const events = (run: string) => join(tensorboard!, encodeURIComponent(run).replace(/^\.+$/, '_'), EVENTS);
  if (tensorboard !== undefined) for (const name of names) checkFilePlace(events(name));
  const command = ['report', ...folders, '--out', out].join(' ');
  writeFileWhole(out, reportPage(runs, title, sourceLanguage, madeBy(command)));
  terminal.print(comparisonTable(runs));
  terminal.print(`report: ${out}`);
  if (csv !== undefined) {
    writeFileWhole(csv, metricsCsv(runs));
    terminal.print(`metrics: ${csv}`);
  }
  if (tensorboard !== undefined) {
    for (const run of runs) {
      const file = events(run.config.name);
      makeFolder(dirname(file));
      writeFileWhole(file, eventFile(run));
    }
    terminal.print(`events: tensorboard --logdir ${tensorboard}`);
  }
  const savings = compareRuns(runs).map(({ scratch, cpt, language, unit, savings: found }) => ({
    runs: { scratch: scratch.config.name, cpt: cpt.config.name },
    language,
    unit,
    ...found,
  }));
  return {
    path: out,
    ...(csv !== undefined && { csv }),
    ...(tensorboard !== undefined && { tensorboard }),
    runs: names,
    savings,
  };
}
