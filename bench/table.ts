/** The benchmark's results for the terminal. */
import { figures, percent, short } from '../src/report/numbers.js';
import { spreadOf } from './measure.js';
import type { Bar, PeerRow, PeerWork, StepResult, WorkSummary } from './result.js';
import type { StepCosts } from './works/step.js';

export const WORK_HEAD = ['work', 'rate', 'of ceiling', 'ms', 'GPU ms', 'IQR', 'samples'];

export const workRow = (work: WorkSummary): string[] => [
  work.name,
  `${figures(work.rate)} ${work.unit}`,
  work.share === undefined ? '' : work.share.toFixed(2),
  figures(work.milliseconds),
  work.gpuMilliseconds === undefined ? 'no timestamps' : figures(work.gpuMilliseconds),
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

export const BAR_HEAD = ['bar', 'verdict', 'measured', 'asked'];

export const barRow = ({ what, bar, measured, reached }: Bar): string[] => [
  what,
  reached === undefined ? 'not measured' : reached ? 'reached' : 'NOT reached',
  measured,
  bar,
];

export const PEER_HEAD = ['work', 'engine', 'speed', 'ms', 'IQR', 'samples', 'note'];

/** An engine without a speed says why; of a training step the note tells what it asks of the device. */
export function peerRow(work: PeerWork, { engine, wall, refused, costs }: PeerRow): string[] {
  if (wall.length === 0) return [work.name, engine, '–', '–', '–', '0', firstLine(refused ?? 'no samples')];
  const { median, iqr } = spreadOf(wall);
  const speed = work.tokens
    ? `${((1000 * work.tokens) / median).toFixed(0)} tokens/s`
    : `${figures(work[work.rate] / median / 1e6)} ${work.rate === 'flops' ? 'GFLOP/s' : 'GB/s'}`;
  return [work.name, engine, speed, figures(median), percent(iqr), String(wall.length), costs ? costNote(costs) : ''];
}

const costNote = ({ dispatches, submits, buffersAfterStep2, peakBytes }: Partial<StepCosts>): string =>
  `${dispatches} dispatches, ${submits} submits, ${buffersAfterStep2} new buffers, peak ${figures((peakBytes ?? 0) / 1e6)} MB`;

const firstLine = (text: string): string => text.split('\n')[0]!;
