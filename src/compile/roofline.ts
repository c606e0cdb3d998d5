/**
 * A roofline from counts alone: the share of a GPU's peak, or of the speed of a copy, that a kernel could reach at
 * best, and what bounds it. It is a bound of a model of the hardware and not a measurement: waits for memory, conflicts
 * of banks, edges of tiles, and all that stands outside the hot loop of a kernel that computes make it slower.
 */
import type { Machine } from './gpus.js';
import type { InstructionCounts } from './instructions.js';
import type { Work } from './kernels.js';
import type { Statistics } from './statistics.js';

export interface Roofline {
  readonly share: number;
  /** What it is a share of: the peak of f32 multiply-adds, of f16 matrices, or a copy at the memory's bandwidth. */
  readonly of: 'multiply-adds' | 'matrices' | 'copy';
  readonly boundBy: Part | 'memory';
}

/** The parts of a compute unit that can be busy. */
type Part = 'multiply-adds' | 'matrices' | 'instructions' | 'workgroup memory';

/** @returns undefined where nothing is counted to make it of. */
export const rooflineOf = (machine: Machine, statistics: Statistics, work: Work): Roofline | undefined =>
  work.flops === undefined ? shareOfCopy(machine, statistics, work) : shareOfPeak(machine, statistics, work);

/**
 * A round of the hot loop keeps each part of a compute unit busy for some cycles, and takes as long as the busiest. The
 * memory of the GPU gives a second bound: a call that moves each byte that it binds once can compute no faster than
 * those bytes come.
 */
function shareOfPeak(machine: Machine, { hotLoop, lanes }: Statistics, { flops, bytes }: Work): Roofline | undefined {
  if (!hotLoop || !lanes || !flops || !bytes || hotLoop.fmas + hotLoop.matrixFmas === 0) return undefined;
  const of = hotLoop.matrixFmas > 0 && machine.matrixFmas > 0 ? 'matrices' : 'multiply-adds';
  const cycles = {
    'multiply-adds': (hotLoop.fmas * lanes) / machine.fmaLanes,
    matrices: machine.matrixFmas > 0 ? hotLoop.matrixFmas / machine.matrixFmas : 0,
    ...cyclesOfLanes(machine, lanes, count => hotLoop[count]),
  };
  const [boundBy, most] = busiest(cycles);
  const peak = 2e9 * machine.units * machine.gigahertz * machine[of === 'matrices' ? 'matrixFmas' : 'fmaLanes'];
  const byMemory = (flops * 1e9 * machine.gigabytesPerSecond) / (bytes * peak);
  if (byMemory < cycles[of] / most) return { share: byMemory, of, boundBy: 'memory' };
  return { share: cycles[of] / most, of, boundBy };
}

/** Calls that a copy would be done with sooner have no figure: to start one takes longer. */
const LEAST_SECONDS = 1e-6;

/**
 * The time of a copy of the bytes that a call binds, each moved once, over the time that its instructions and its
 * workgroup memory take on all units that have a workgroup. Of a call that looks rows up, which binds more than it
 * touches, the bytes are those that its instructions move.
 */
function shareOfCopy(
  machine: Machine,
  { whole }: Statistics,
  { bytes, threads, workgroups, rounds = 0 }: Work,
): Roofline | undefined {
  if (!whole || (whole.perRound && rounds === 0)) return undefined;
  const ofThread = (count: Count) => whole.once[count] + rounds * (whole.perRound?.[count] ?? 0);
  const copied = (bytes ?? threads * ofThread('globalBytes')) / (1e9 * machine.gigabytesPerSecond);
  if (copied < LEAST_SECONDS) return undefined;
  const [boundBy, cycles] = busiest(cyclesOfLanes(machine, threads, ofThread));
  const seconds = cycles / (1e9 * machine.gigahertz * Math.min(machine.units, workgroups));
  if (seconds <= copied) return { share: 1, of: 'copy', boundBy: 'memory' };
  return { share: copied / seconds, of: 'copy', boundBy };
}

type Count = keyof InstructionCounts;

/** The cycles of a compute unit that lanes keep it busy with what each of them has in counts. */
const cyclesOfLanes = (machine: Machine, lanes: number, count: (of: Count) => number) => ({
  instructions: (lanes * count('issued')) / machine.issueLanes,
  'workgroup memory': (lanes * count('workgroupBytes')) / machine.workgroupBytes,
});

const busiest = (cycles: Partial<Readonly<Record<Part, number>>>): [Part, number] =>
  (Object.entries(cycles) as [Part, number][]).reduce((a, b) => (b[1] > a[1] ? b : a));
