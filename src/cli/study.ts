/** The commands `study run`, `study resume`, `study status` and `study cancel`. */
import { cancelStudy, readPlan, readStudyPlan, type StudyPlan, UserError } from '../index.js';
import { short } from '../report/numbers.js';
import { estimateStudy } from '../study/estimate.js';
import type { CommandResult, Terminal } from './command.js';
import { readWithJobs, type StartFlags, startStudy } from './study-run.js';
import { duration, studyTable } from './study-table.js';
import { makeTable } from './table.js';

interface RunOptions extends StartFlags {
  out?: string;
  dryRun?: boolean;
  adapter?: string;
}

/** The command `study run`. */
export async function studyRun(
  terminal: Terminal,
  { out, dryRun, adapter, ...start }: RunOptions,
  file: string,
): Promise<CommandResult> {
  const plan = readStudyPlan(file, out);
  return dryRun ? showEstimate(terminal, plan, adapter) : startStudy(terminal, plan, start);
}

/** The command `study resume`. */
export async function studyResume(
  terminal: Terminal,
  { run, ...start }: StartFlags & { run?: string },
  folder: string,
): Promise<CommandResult> {
  const plan = readPlan(folder);
  if (run !== undefined) checkRun(plan, run);
  return startStudy(terminal, plan, start, run === undefined ? undefined : [run]);
}

/** The command `study status`. */
export async function studyStatus(terminal: Terminal, _: object, folder: string): Promise<CommandResult> {
  const found = await readWithJobs(terminal, folder);
  terminal.print(studyTable(found));
  const runs = found.runs.map(({ name, state, progress, error, record, job }) => {
    const last = record?.evaluations.at(-1);
    const told = { ...(error && { error }), ...(job && { job }) };
    return { name, state, progress, ...told, ...(last && { heldOut: last.heldOut }) };
  });
  return { name: found.name, folder: found.folder, runs };
}

/** The command `study cancel`. */
export async function studyCancel(terminal: Terminal, _: object, folder: string): Promise<CommandResult> {
  const runs = await cancelStudy(readPlan(folder).folder);
  terminal.print(runs.length > 0 ? `cancelled: ${runs.join(', ')}` : 'nothing of this study is in the queue');
  return { folder, cancelled: runs };
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
