/** The command `study`: many runs from one file. */
import type { Command } from 'commander';
import { cancelStudy, readPlan, readStudyPlan, type StudyPlan, UserError } from '../index.js';
import { short } from '../report/numbers.js';
import { estimateStudy } from '../study/estimate.js';
import { type CommandResult, defineAction, type Terminal } from './command.js';
import { addStudyReport } from './study-report.js';
import { addStartFlags, readWithJobs, type StartFlags, startStudy } from './study-run.js';
import { duration, studyTable } from './study-table.js';
import { makeTable } from './table.js';

export function addStudyCommand(program: Command): void {
  const study = program
    .command('study')
    .description('many runs from one file: sizes x source, scratch and CPT x languages x replay x seeds');

  const run = study
    .command('run')
    .description('start a study, or join it from another process or machine that shares its folder')
    .argument('<file>', 'YAML file of the study')
    .option('--out <folder>', "folder of the study (default: the file's out)")
    .option('--dry-run', 'print runs, FLOPs and the time expected on this adapter; start and write nothing')
    .option(
      '--adapter <name>',
      'with --dry-run: adapter, by a part of its name or its number (runs take that of the file)',
    );
  addStartFlags(run);
  defineAction<StartFlags & { out?: string; dryRun?: boolean; adapter?: string }>(
    run,
    async (terminal, { out, dryRun, adapter, ...start }, file) => {
      const plan = readStudyPlan(file!, out);
      return dryRun ? showEstimate(terminal, plan, adapter) : startStudy(terminal, plan, start);
    },
  );

  const resume = study
    .command('resume')
    .description('go on with a study: runs that are done stay, those that failed are tried again')
    .argument('<folder>', 'folder of the study')
    .option('--run <name>', 'this run alone, once its source is done');
  addStartFlags(resume);
  defineAction<StartFlags & { run?: string }>(resume, async (terminal, { run, ...start }, folder) => {
    const plan = readPlan(folder!);
    if (run !== undefined) checkRun(plan, run);
    return startStudy(terminal, plan, start, run === undefined ? undefined : [run]);
  });

  const status = study
    .command('status')
    .description('how far every run of a study is')
    .argument('<folder>', 'folder of the study');
  defineAction(status, async (terminal, _, folder) => {
    const found = await readWithJobs(terminal, folder!);
    terminal.print(studyTable(found));
    const runs = found.runs.map(({ name, state, progress, error, record, job }) => {
      const last = record?.evaluations.at(-1);
      const told = { ...(error && { error }), ...(job && { job }) };
      return { name, state, progress, ...told, ...(last && { heldOut: last.heldOut }) };
    });
    return { name: found.name, folder: found.folder, runs };
  });

  const cancel = study
    .command('cancel')
    .description("cancel a study's jobs in Slurm; runs that have begun end with a checkpoint")
    .argument('<folder>', 'folder of the study');
  defineAction(cancel, async (terminal, _, folder) => {
    const runs = await cancelStudy(readPlan(folder!).folder);
    terminal.print(runs.length > 0 ? `cancelled: ${runs.join(', ')}` : 'nothing of this study is in the queue');
    return { folder: folder!, cancelled: runs };
  });

  addStudyReport(study);
}

function checkRun({ folder, runs }: StudyPlan, run: string): void {
  if (runs.some(({ name }) => name === run)) return;
  throw new UserError(`'${folder}' has no run '${run}'; its runs are ${runs.map(({ name }) => name).join(', ')}`);
}

async function showEstimate(terminal: Terminal, plan: StudyPlan, adapterName?: string): Promise<CommandResult> {
  const { adapter, runs } = await estimateStudy(plan, adapterName);
  const rows = runs.map(({ run, resolved, flops, seconds, refusal }) => ({
    run: run.name,
    parameters: resolved.parameters.total,
    tokens: resolved.tokens,
    steps: resolved.steps,
    flops,
    ...(seconds !== undefined && { seconds }),
    ...(refusal !== undefined && { refusal }),
  }));
  const table = makeTable(['run', 'parameters', 'tokens', 'steps', 'FLOPs', 'time']);
  for (const { run, parameters, tokens, steps, flops, seconds, refusal } of rows) {
    const time = refusal ? 'refused' : seconds === undefined ? 'not measured' : duration(seconds);
    table.push([run, short(parameters), short(tokens), steps, short(flops), time]);
  }
  terminal.print(table.toString());
  const flops = rows.reduce((sum, row) => sum + row.flops, 0);
  const timed = rows.flatMap(row => row.seconds ?? []);
  const seconds = timed.reduce((sum, time) => sum + time, 0);
  const time =
    timed.length === rows.length
      ? `about ${duration(seconds)} one after the other`
      : `${rows.length - timed.length} of them too large to be timed, or refused,`;
  for (const refusal of new Set(rows.flatMap(row => row.refusal ?? []))) terminal.print(`refused: ${refusal}`);
  terminal.print(`${rows.length} runs, ${short(flops)} FLOPs, ${time} on ${adapter.name}; nothing was started`);
  return {
    name: plan.name,
    adapter: adapter.name,
    flops,
    ...(timed.length === rows.length && { seconds }),
    runs: rows,
  };
}
