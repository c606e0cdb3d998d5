/** The gradients of a model's parameters on the device: in f32, or those of matrices in f16. */
import { Arena } from '../autograd/arena.js';
import type { Tensor } from '../autograd/tensor.js';
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Memory } from '../gpu/memory.js';
import type { ParameterGroup } from '../model/parameters.js';

/** What gradients are kept in, and added up in over micro-batches. */
export const GRADIENT_STORAGES = ['f32', 'f16'] as const;
export type GradientStorage = (typeof GRADIENT_STORAGES)[number];

/** The gradients by group, those of each type in the order of the groups. */
export class GradientTensors {
  readonly #halves: Arena;
  readonly #plain: Arena;

  /** @throws UserError when a buffer exceeds the adapter's limits. */
  constructor(memory: Memory, groups: readonly ParameterGroup[], storage: GradientStorage) {
    // those of norms and biases are no memory to speak of
    const isHalf = ({ decay }: ParameterGroup): boolean => storage === 'f16' && decay;
    this.#halves = new Arena(memory, 'gradient', groups.filter(isHalf), 'f16');
    try {
      this.#plain = new Arena(
        memory,
        'gradient',
        groups.filter(group => !isHalf(group)),
      );
    } catch (error) {
      this.#halves.destroy();
      throw error;
    }
  }

  get buffers(): readonly DeviceBuffer[] {
    return [...this.#halves.buffers, ...this.#plain.buffers];
  }

  #arenaOf(group: string): Arena {
    return this.#halves.has(group) ? this.#halves : this.#plain;
  }

  tensor(group: string): Tensor {
    return this.#arenaOf(group).tensor(group);
  }

  /** Whether the gradients of two groups are in one buffer. */
  areTogether(a: string, b: string): boolean {
    return this.tensor(a).buffer === this.tensor(b).buffer;
  }

  /** The gradients of a stretch of groups. */
  span(groups: readonly string[]): Tensor {
    return this.#arenaOf(groups[0]!).span(groups);
  }

  destroy(): void {
    for (const arena of [this.#halves, this.#plain]) arena.destroy();
  }
}
