/** Measures how long variants take on the tensors of the real sizes. */
import type { Device } from '../gpu/device.js';
import type { Command } from '../gpu/program.js';
import type { Operand } from '../kernels/call.js';
import { BYTES } from '../kernels/element-type.js';
import { Random } from '../random.js';

/**
 * The least time of a sample: without timestamps a sample runs as often as it takes to last this long, so that
 * submitting it counts for little.
 */
const SAMPLE_MS = 5;

/** The program of a variant, compiled and bound. */
export interface Program {
  readonly commands: readonly Command[];
  destroy(): void;
}

/** The functions of a device that timing needs. */
export type Timer = Pick<Device, 'adapter' | 'submit' | 'idle' | 'time'>;

/**
 * Returns the milliseconds of one run of each program, by GPU timestamps where the adapter has them, else by the clock.
 */
export async function timeRound(device: Timer, programs: readonly Pick<Program, 'commands'>[]): Promise<number[]> {
  if (device.adapter.features.includes('timestamp-query')) {
    const times = await device.time(programs.flatMap(({ commands }) => commands));
    return programs.map(({ commands }) =>
      times.splice(0, commands.length).reduce((sum, { milliseconds }) => sum + Math.max(0, milliseconds), 0),
    );
  }
  const times: number[] = [];
  for (const { commands } of programs) times.push(await wallTime(device, commands));
  return times;
}

async function wallTime(device: Timer, commands: readonly Command[]): Promise<number> {
  for (let repeats = 1; ; repeats *= 4) {
    const started = performance.now();
    for (let i = 0; i < repeats; i++) device.submit(commands);
    await device.idle();
    const elapsed = performance.now() - started;
    if (elapsed >= SAMPLE_MS || repeats >= 1024) return elapsed / repeats;
  }
}

/** The number of words of random numbers, which are written again and again. */
const BLOCK = 2 ** 16;

/** Fills operands with numbers in (-1, 1): a GPU's clock depends on what its units switch. */
export function fill(device: Device, operands: Iterable<Operand>): void {
  const random = new Random(1, 'tuning');
  const singles = Float32Array.from({ length: BLOCK }, () => 2 * random.uniform() - 1);
  // between 1/4 and 1/2 as f16, small as bf16, of either sign, in both halves of a word
  const halves = Uint32Array.from({ length: BLOCK }, () => (random.uint32() & 0x83ff83ff) | 0x34003400);
  for (const { buffer, type, sizeBytes } of operands) {
    const block = BYTES[type] === 2 ? halves : singles;
    for (let first = 0; first < sizeBytes / 4; first += BLOCK) {
      device.write(buffer, block.subarray(0, Math.min(BLOCK, sizeBytes / 4 - first)), 4 * first);
    }
  }
}
