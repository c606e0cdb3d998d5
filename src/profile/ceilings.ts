/** The most that an adapter gives: a loop of multiply-adds in registers, and a copy well beyond the caches. */
import { Graph } from '../autograd/graph.js';
import { type Plan, plan } from '../autograd/plan.js';
import { bytesOf, persistent, rangeOf, type Tensor } from '../autograd/tensor.js';
import type { Device } from '../gpu/device.js';
import { ceilingCopy, ceilingFma, ceilingFmaFlops, ceilingFmaSum } from '../kernels/ceiling.js';
import { fill } from '../tune/time.js';

/** The threads, and the rounds of the loop: enough to fill a GPU, and not more than a second's work of a CPU. */
const fmaSize = (device: Device) =>
  device.adapter.kind === 'hardware' ? { threads: 2 ** 20, rounds: 2048 } : { threads: 2 ** 13, rounds: 512 };
/** The f32 elements of the copy. */
const copySize = (device: Device) => (device.adapter.kind === 'hardware' ? 2 ** 26 : 2 ** 23);

/** A kernel that does nothing but what its ceiling measures. */
export interface CeilingWork {
  readonly graph: Graph;
  /** The tensors, each in a buffer of its own; the last one is written. */
  readonly tensors: readonly Tensor[];
  readonly flops: number;
  readonly bytes: number;
}

const place = (device: Device, name: string, count: number): Tensor =>
  persistent(name, [count], device.createBuffer(name, bytesOf({ shape: [count], dtype: 'f32' })));

/** Returns the loop of multiply-adds. `sumOf` is what its kernel must make of a thread's number. */
export function fmaLoop(device: Device): CeilingWork & { readonly sumOf: (thread: number) => number } {
  const { threads, rounds } = fmaSize(device);
  const y = place(device, 'multiply-add ceiling', threads);
  const graph = new Graph();
  graph.add({
    op: 'ceiling_fma',
    inputs: [],
    outputs: [],
    updates: [y],
    launch: (_, bind) => [ceilingFma(threads, rounds, { y: bind(y) })],
  });
  const flops = ceilingFmaFlops(threads, rounds);
  return { graph, tensors: [y], flops, bytes: 4 * threads, sumOf: thread => ceilingFmaSum(thread, rounds) };
}

/** Returns the copy. @throws UserError when the adapter's limits have no room for it. */
export function largeCopy(device: Device): CeilingWork {
  const { maxStorageBufferBindingSize } = device.adapter.limits as Record<string, number>;
  const count = Math.min(copySize(device), Math.floor(maxStorageBufferBindingSize! / 16) * 4);
  const x = place(device, 'copied from', count);
  const y = place(device, 'copied to', count);
  fill(device, [rangeOf(x, x.buffer!)]);
  const graph = new Graph();
  graph.add({
    op: 'ceiling_copy',
    inputs: [x],
    outputs: [],
    updates: [y],
    launch: (_, bind) => [ceilingCopy(count, { x: bind(x), y: bind(y) })],
  });
  return { graph, tensors: [x, y], flops: 0, bytes: 8 * count };
}

/** Times both works beside something else. Free it with `destroy`. */
export class CeilingTimer {
  readonly #device: Device;
  readonly #works: readonly CeilingWork[];
  readonly #plans: Plan[] = [];

  private constructor(device: Device) {
    this.#device = device;
    this.#works = [fmaLoop(device), largeCopy(device)];
  }

  static async create(device: Device): Promise<CeilingTimer> {
    const timer = new CeilingTimer(device);
    try {
      for (const { graph } of timer.#works) timer.#plans.push(await plan(device, graph));
      return timer;
    } catch (error) {
      timer.destroy();
      throw error;
    }
  }

  /** Returns the rates of one run of each work, by timestamps. */
  async rates(): Promise<{ readonly flopsPerSecond: number; readonly bytesPerSecond: number }> {
    const times = await this.#device.time(this.#plans.flatMap(({ commands }) => commands));
    const [fma, copy] = times.map(({ milliseconds }) => milliseconds / 1000);
    return { flopsPerSecond: this.#works[0]!.flops / fma!, bytesPerSecond: this.#works[1]!.bytes / copy! };
  }

  destroy(): void {
    for (const made of this.#plans) made.destroy();
    for (const { tensors } of this.#works) for (const { buffer } of tensors) buffer!.destroy();
  }
}
