/**
 * A roofline from counts alone: the share of a GPU's peak that a kernel could reach at best, and what bounds it. It is
 * a bound of a model of the hardware and not a measurement: waits for memory, conflicts of banks, edges of tiles, and
 * all that stands outside the hot loop make a kernel slower.
 */
import type { Machine } from './gpus.js';
import type { LoopCounts } from './hot-loop.js';
import type { Statistics } from './statistics.js';
import type { Compiled } from './task.js';

export interface Roofline {
  /** The share of the peak of f32 multiply-adds or, in a loop on matrices, of f16 matrices. */
  readonly share: number;
  readonly boundBy: 'multiply-adds' | 'matrices' | 'instructions' | 'workgroup memory' | 'memory';
  readonly ofMatrices: boolean;
}

/**
 * A round of the hot loop keeps each part of a compute unit busy for some cycles, and takes as long as the busiest. The
 * memory of the GPU gives a second bound: a call that moves each byte that it binds once can compute no faster than
 * those bytes come.
 * @returns undefined for a kernel that is not there to compute, which memory bounds, and where nothing is counted.
 */
export function rooflineOf(
  machine: Machine,
  { hotLoop, lanes }: Statistics,
  { flopsPerByte }: Pick<Compiled, 'flopsPerByte'>,
): Roofline | undefined {
  if (!hotLoop || !lanes || flopsPerByte === undefined || hotLoop.fmas + hotLoop.matrixFmas === 0) return undefined;
  const ofMatrices = hotLoop.matrixFmas > 0 && machine.matrixFmas > 0;
  const cycles = cyclesOf(machine, hotLoop, lanes);
  const useful = ofMatrices ? cycles.matrices : cycles['multiply-adds'];
  const [boundBy, most] = Object.entries(cycles).reduce((a, b) => (b[1] > a[1] ? b : a)) as [
    Roofline['boundBy'],
    number,
  ];
  const peak = 2e9 * machine.units * machine.gigahertz * (ofMatrices ? machine.matrixFmas : machine.fmaLanes);
  const byMemory = (flopsPerByte * 1e9 * machine.gigabytesPerSecond) / peak;
  if (byMemory < useful / most) return { share: byMemory, boundBy: 'memory', ofMatrices };
  return { share: useful / most, boundBy, ofMatrices };
}

/** The cycles of a compute unit that one round of the loop of one subgroup takes, by what is busy. */
const cyclesOf = (machine: Machine, loop: LoopCounts, lanes: number) => ({
  'multiply-adds': (loop.fmas * lanes) / machine.fmaLanes,
  matrices: machine.matrixFmas > 0 ? loop.matrixFmas / machine.matrixFmas : 0,
  instructions: (loop.issued * lanes) / machine.issueLanes,
  'workgroup memory': (loop.workgroupBytes * lanes) / machine.workgroupBytes,
});
