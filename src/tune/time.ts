/** How long variants take on the tensors of the real sizes. */
import type { Plan } from '../autograd/plan.js';
import type { Tensor } from '../autograd/tensor.js';
import type { Device } from '../gpu/device.js';
import type { Command } from '../gpu/program.js';
import { BYTES } from '../kernels/element-type.js';
import { Random } from '../random.js';
import type { TensorSpec } from './kind.js';

/** Without timestamps a sample runs as often as it takes to last this long, so that submitting it counts for little. */
const SAMPLE_MS = 5;

/** What timing asks of a device. */
export type Timer = Pick<Device, 'adapter' | 'submit' | 'idle' | 'time'>;

/** Milliseconds of one run of each plan, by GPU timestamps where the adapter has them, else by the clock. */
export async function timeRound(device: Timer, plans: readonly Plan[]): Promise<number[]> {
  if (device.adapter.features.includes('timestamp-query')) {
    const times = await device.time(plans.flatMap(({ commands }) => commands));
    return plans.map(({ commands }) =>
      times.splice(0, commands.length).reduce((sum, { milliseconds }) => sum + Math.max(0, milliseconds), 0),
    );
  }
  const times: number[] = [];
  for (const { commands } of plans) times.push(await wallTime(device, commands));
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

/** Words of random numbers that are written again and again. */
const BLOCK = 2 ** 16;

/** Fills tensors, but those of given words, with numbers in (-1, 1): a GPU's clock depends on what its units switch. */
export function fill(device: Device, tensors: readonly Tensor[], specs: readonly TensorSpec[]): void {
  const random = new Random(1, 'tuning');
  const singles = Float32Array.from({ length: BLOCK }, () => 2 * random.uniform() - 1);
  // between 1/4 and 1/2 as f16, small as bf16, of either sign, in both halves of a word
  const halves = Uint32Array.from({ length: BLOCK }, () => (random.uint32() & 0x83ff83ff) | 0x34003400);
  for (const { buffer, dtype, shape } of tensors.filter((_, i) => !specs[i]!.words)) {
    const words = Math.floor((BYTES[dtype] * shape[0]!) / 4);
    const block = BYTES[dtype] === 2 ? halves : singles;
    for (let first = 0; first < words; first += BLOCK) {
      device.write(buffer!, block.subarray(0, Math.min(BLOCK, words - first)), 4 * first);
    }
  }
}
