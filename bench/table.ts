/** The benchmark's results for the terminal. */
import Table from 'cli-table3';
import { percent, short } from '../src/report/words.js';
import type { StepResult } from './run.js';
import type { Bar, WorkSummary } from './summary.js';

export function textTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const table = new Table({
    head: [...head],
    colAligns: head.map((_, i) => (i === 0 ? 'left' : 'right')),
    style: { head: [], border: [], compact: true },
  });
  for (const row of rows) table.push([...row]);
  return table.toString();
}

export const WORK_HEAD = ['work', 'rate', 'of ceiling', 'ms', 'GPU ms', 'IQR', 'samples'];

export const workRow = (work: WorkSummary): string[] => [
  work.name,
  `${work.rate.toPrecision(3)} ${work.unit}`,
  work.share === undefined ? '' : work.share.toFixed(2),
  work.milliseconds.toPrecision(3),
  work.gpuMilliseconds === undefined ? 'no timestamps' : work.gpuMilliseconds.toPrecision(3),
  percent(work.iqr),
  String(work.samples),
];

export const STEP_HEAD = [
  'step',
  'tokens/s',
  'parameters',
  'dispatches',
  'submits',
  'buffers after step 2',
  'peak MB',
  'submit ms',
  'host',
];

export const stepRow = (step: StepResult): string[] => [
  step.name,
  step.tokensPerSecond.toFixed(0),
  short(step.parameters),
  String(step.costs.dispatches),
  String(step.costs.submits),
  String(step.costs.buffersAfterStep2),
  (step.costs.peakBytes / 1e6).toFixed(0),
  step.submitMilliseconds.toFixed(1),
  step.hostShare === undefined ? '' : `${(100 * step.hostShare).toFixed(1)}%`,
];

export const BAR_HEAD = ['bar', 'asked', 'measured', ''];

export const barRow = ({ what, bar, measured, reached }: Bar): string[] => [
  what,
  bar,
  measured,
  reached === undefined ? 'not measured' : reached ? 'reached' : 'NOT reached',
];
