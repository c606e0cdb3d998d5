/** The command `study`: many runs from one file. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import {
  chooseAdapter,
  type PlannedRun,
  readPlan,
  readStudy,
  readStudyPlan,
  runStudy,
  type StudyObserver,
  type StudyPlan,
  type StudyRun,
} from '../index.js';
import { percent, short, showLosses } from '../report/numbers.js';
import { estimateStudy, resolveStudy } from '../study/estimate.js';
import { type CommandResult, defineAction, type Terminal } from './command.js';
import { interruptible } from './interruption.js';
import { wholeNumber } from './numbers.js';
import { addStudyReport } from './study-report.js';
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
    .option('--jobs <count>', 'runs at a time', wholeNumber(1), 1)
    .option('--dry-run', 'print runs, FLOPs and the time expected on this adapter; start and write nothing')
    .option(
      '--adapter <name>',
      'with --dry-run: adapter, by a part of its name or its number (runs take that of the file)',
    );
  defineAction<{ out?: string; jobs: number; dryRun?: boolean; adapter?: string }>(
    run,
    async (terminal, { out, jobs, dryRun, adapter }, file) => {
      const plan = readStudyPlan(file!, out);
      return dryRun ? showEstimate(terminal, plan, adapter) : runToEnd(terminal, plan, jobs);
    },
  );

  const resume = study
    .command('resume')
    .description('go on with a study: runs that are done stay, those that failed are tried again')
    .argument('<folder>', 'folder of the study')
    .option('--jobs <count>', 'runs at a time', wholeNumber(1), 1);
  defineAction<{ jobs: number }>(resume, (terminal, { jobs }, folder) => runToEnd(terminal, readPlan(folder!), jobs));

  const status = study
    .command('status')
    .description('how far every run of a study is')
    .argument('<folder>', 'folder of the study');
  defineAction(status, async (terminal, _, folder) => {
    const found = await readStudy(folder!);
    terminal.print(studyTable(found));
    const runs = found.runs.map(({ name, state, progress, error, record }) => {
      const last = record?.evaluations.at(-1);
      return { name, state, progress, ...(error && { error }), ...(last && { heldOut: last.heldOut }) };
    });
    return { name: found.name, folder: found.folder, runs };
  });

  addStudyReport(study);
}

/** Runs with a bar over the FLOPs that are left, and a line for each run that ends; Ctrl-C stops with checkpoints. */
async function runToEnd(terminal: Terminal, plan: StudyPlan, jobs: number): Promise<CommandResult> {
  const { observer, end } = await observe(terminal, plan);
  const onInterrupt = () => terminal.note('stopping after the current steps, with checkpoints');
  const summary = await interruptible(onInterrupt, signal => runStudy(plan, { jobs, signal, observer })).finally(end);
  terminal.print(studyTable(await readStudy(plan.folder)));
  if (summary.status === 'done') terminal.print(`report with: babelgrad study report ${plan.folder}`);
  else {
    terminal.print(`go on with: babelgrad study resume ${plan.folder}`);
    process.exitCode ||= 1; // an interruption's stands
  }
  return { folder: plan.folder, ...summary };
}

/**
 * Returns an observer that shows the runs. It throws before any run is started.
 * @throws UserError when a run's configuration, its data and the adapter don't fit together.
 */
async function observe(terminal: Terminal, plan: StudyPlan): Promise<{ observer: StudyObserver; end(): void }> {
  const { chosen } = (await chooseAdapter(plan.runs[0]!.config.adapter)).choice;
  const resolved = resolveStudy(plan, chosen);
  const flopsOf = ({ name }: PlannedRun) => resolved.get(name)!.flopsPerToken * resolved.get(name)!.tokens;
  const progress = new Map((await studyIfThere(plan)).map(run => [run.name, run.progress]));
  const flopsDone = () => plan.runs.reduce((sum, run) => sum + flopsOf(run) * (progress.get(run.name) ?? 0), 0);
  const before = flopsDone();
  const total = plan.runs.reduce((sum, run) => sum + flopsOf(run), 0);
  let done = [...progress.values()].filter(share => share === 1).length;
  const bar = total > before ? terminal.progress(plan.name, total - before, 'FLOPs') : undefined;
  const current = new Map<string, string>();
  const show = () => {
    const runs = `${done}/${plan.runs.length} runs`;
    bar?.update(flopsDone() - before, [runs, ...current.values()].join(' · '));
  };
  const ended = ({ name }: PlannedRun, line: string) => {
    current.delete(name);
    terminal.note(line);
    show();
  };
  const observer: StudyObserver = {
    onNote: ({ name }, text) => terminal.note(`${name}: ${text}`),
    onWait: ({ name }, holder) => terminal.note(`${name}: waiting for ${holder}, which is running it`),
    onProgress({ name }, { step, steps, loss, tokensPerSecond }) {
      progress.set(name, step / steps);
      current.set(
        name,
        `${name} ${percent(step / steps)} loss ${loss?.toFixed(3) ?? 'not finite'} ${short(tokensPerSecond)} tokens/s`,
      );
      show();
    },
    onRunEnd(run, { status, heldOut, tokens, step, steps }) {
      progress.set(run.name, step / steps);
      if (status === 'done') done++;
      ended(
        run,
        `${run.name}: ${status}, ${short(tokens)} tokens, held-out loss in nats per token ${showLosses(heldOut)}`,
      );
    },
    onRunFailed: (run, error) => ended(run, `${run.name}: failed: ${error}`),
  };
  return { observer, end: () => bar?.stop() };
}

/** Returns the runs of a study that was started before. */
async function studyIfThere({ folder }: StudyPlan): Promise<readonly StudyRun[]> {
  return existsSync(join(folder, 'study.json')) ? (await readStudy(folder)).runs : [];
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
