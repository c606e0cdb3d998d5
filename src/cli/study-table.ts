/** A study for the terminal. */
import { short } from '../report/numbers.js';
import type { Study, StudyRun } from '../study/state.js';
import { makeTable } from './table.js';

/** Returns a duration in words: 3725 → '1 h 2 min'. */
export function duration(seconds: number): string {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 120) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`;
}

/** Returns every run with its state, how far it is, and how long it still takes at its present speed. */
export function studyTable({ runs }: Study): string {
  const hasJobs = runs.some(({ job }) => job);
  const columns = ['run', 'state', 'done', 'tokens', 'loss (nats/token)', 'time left'];
  const table = makeTable(hasJobs ? [...columns, 'job'] : columns);
  for (const run of runs) {
    const last = run.record?.evaluations.at(-1);
    const loss = last?.heldOut[run.language]?.loss;
    table.push([
      run.name,
      run.state,
      `${Math.floor(100 * run.progress)}%`,
      last ? short(last.tokens) : '',
      loss === undefined ? '' : `${run.language} ${loss.toFixed(4)}`,
      timeLeft(run),
      ...(hasJobs ? [showJob(run)] : []),
    ]);
  }
  const failed = runs.filter(({ error }) => error !== undefined);
  const errors = failed.map(({ name, error }) => `${name} failed: ${error}`);
  const ended = runs.filter(({ state, job }) => job?.output && !job.isLive && state !== 'done');
  const outputs = ended.map(({ name, job }) => `${name}: output of its last job in ${job!.output!}`);
  const done = runs.filter(({ state }) => state === 'done').length;
  return [table.toString(), ...errors, ...outputs, `${done} of ${runs.length} runs done`].join('\n');
}

function showJob({ job }: StudyRun): string {
  if (!job) return '';
  const state = job.state.toLowerCase().replaceAll('_', ' ');
  return `${job.id} ${state}${job.reason === undefined ? '' : ` (${job.reason})`}`;
}

function timeLeft({ state, progress, record }: StudyRun): string {
  const speed = record?.steps.at(-1)?.tokensPerSecond;
  if (!record || !speed || (state !== 'running' && state !== 'interrupted')) return '';
  return duration(((1 - progress) * record.config.tokens) / speed);
}
