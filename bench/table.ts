/** The benchmark's results for the terminal. */
import Table from 'cli-table3';
import { percent, short } from '../src/report/words.js';
import { spreadOf } from './measure.js';
import type { PeerRow, PeerWork } from './peers.js';
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

export const PEER_HEAD = [
  'work',
  'engine',
  'speed',
  'ms',
  'IQR',
  'samples',
  'dispatches, submits, buffers, peak MB',
  'check',
];

/** An engine without a speed says why in the last column. */
export function peerRow(work: PeerWork, { engine, wall, refused, check = '', costs }: PeerRow): string[] {
  const asked = costs
    ? [costs.dispatches, costs.submits, costs.buffersAfterStep2, costs.peakBytes && (costs.peakBytes / 1e6).toFixed(0)]
    : [];
  const costCell = asked.map(value => value ?? '?').join(', ');
  if (wall.length === 0) return [work.name, engine, '–', '–', '–', '0', costCell, firstLine(refused ?? 'no samples')];
  const { median, iqr } = spreadOf(wall);
  const speed = work.tokens
    ? `${((1000 * work.tokens) / median).toFixed(0)} tokens/s`
    : `${(work[work.rate] / median / 1e6).toPrecision(3)} ${work.rate === 'flops' ? 'GFLOP/s' : 'GB/s'}`;
  return [work.name, engine, speed, median.toPrecision(3), percent(iqr), String(wall.length), costCell, check];
}

const firstLine = (text: string): string => text.split('\n')[0]!;
