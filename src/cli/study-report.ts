/** The command `study report`: a study's page, figures, fits and points. */
import { basename, dirname, join, resolve } from 'node:path';
import { UserError } from '../errors.js';
import { checkFilePlace } from '../files.js';
import { readText } from '../input-files.js';
import { madeBy } from '../report/made.js';
import { loraTable } from '../report/study-lora.js';
import { partsOf } from '../report/study-page.js';
import { summaryLines } from '../report/study-summary.js';
import {
  failures,
  fitErrorTable,
  fitNotes,
  forgettingTable,
  heldOutTable,
  parameterTable,
  runsTable,
  savingsTable,
  type TextTable,
} from '../report/study-tables.js';
import type { LanguageFits, StudyView } from '../report/study-view.js';
import { fitStudy } from '../study/fits.js';
import { type StudyPoint, studyPoints } from '../study/points.js';
import { parseStudyPoints } from '../study/read-points.js';
import { targetsOfPoints, viewOfPoints, viewOfStudy, writeStudyReport } from '../study/report.js';
import { readStudy } from '../study/state.js';
import type { CommandResult, Terminal } from './command.js';
import { textTable } from './table.js';

interface ReportOptions {
  points?: string;
  out?: string;
  bootstrap: number;
}

/** The command `study report`. */
export async function studyReport(
  terminal: Terminal,
  options: ReportOptions,
  dir: string | undefined,
): Promise<CommandResult> {
  if (options.out) checkFilePlace(join(options.out, 'report.html'));
  const { view, points, out } = await read(dir, options);
  const given = dir ?? `--points ${options.points}`;
  const parts = partsOf(view);
  const files = writeStudyReport(options.out ?? out, view, points, madeBy(`study report ${given}`), parts);
  printTables(terminal, view);
  for (const line of summaryLines(view, parts.findings)) terminal.print(line);
  const page = files[0]!;
  terminal.print(`report: ${page}`);
  return { path: page, files, runs: view.rows, fits: view.fits, findings: parts.findings };
}

async function read(
  dir: string | undefined,
  { points: file, bootstrap }: ReportOptions,
): Promise<{ view: StudyView; points: StudyPoint[]; out: string }> {
  if ((dir === undefined) === (file === undefined)) {
    throw new UserError("give the study's folder, or its points with --points FILE: one of the two");
  }
  if (file !== undefined) {
    const points = parseStudyPoints(readText(file), file);
    const fits = fitStudy(points, targetsOfPoints(points), bootstrap);
    return { view: viewOfPoints(nameOf(file), points, fits), points, out: join(dirname(file), 'report') };
  }
  const study = await readStudy(dir!);
  const points = studyPoints(study);
  const fits = fitStudy(points, study.targets, bootstrap);
  return { view: viewOfStudy(study, fits, points), points, out: join(dir!, 'report') };
}

/** Returns what a study is called of which only the points are known: the file's name, or its folder's. */
function nameOf(file: string): string {
  const name = basename(file, '.csv');
  return name === 'points' ? basename(dirname(resolve(file))) : name;
}

function printTables(terminal: Terminal, view: StudyView): void {
  const print = ({ head, rows }: TextTable) => {
    if (rows.length > 0) terminal.print(textTable(head, rows));
  };
  print(runsTable(view));
  for (const failure of failures(view)) terminal.print(failure);
  print(savingsTable(view));
  print(forgettingTable(view));
  print(loraTable(view));
  for (const fits of view.fits) printFits(terminal, fits, print);
}

function printFits(terminal: Terminal, fits: LanguageFits, print: (table: TextTable) => void): void {
  terminal.print(`fits of ${fits.language}`);
  if (Object.values(fits).some(fitting => typeof fitting !== 'string' && 'fit' in fitting)) print(parameterTable(fits));
  print(fitErrorTable(fits));
  print(heldOutTable(fits));
  for (const note of fitNotes(fits)) terminal.print(note);
}
