/**
 * Tensors that are kept side by side in shared buffers. What treats every element alike (clearing, norms, the
 * optimizer) takes a stretch of many tensors in one dispatch. Arenas of the same shapes have the same places. Dawn
 * tracks barriers per buffer, so that writes to two tensors of an arena wait for each other: an arena is no place for
 * activations.
 */
import type { DeviceBuffer } from '../gpu/buffer.js';
import type { Memory } from '../gpu/memory.js';
import { BYTES } from '../kernels/element-type.js';
import { type DType, persistent, type Shape, sizeOf, type Tensor } from './tensor.js';

export interface ArenaItem {
  readonly name: string;
  readonly shape: Shape;
}

/**
 * A tensor begins at a multiple of this many elements: 256 bytes of halves, the coarsest alignment of bindings there
 * is. Of bytes it is twice as many.
 */
const ALIGNMENT = 128;
const BYTE_ALIGNMENT = 256;

export class Arena {
  readonly items: readonly ArenaItem[];
  readonly buffers: readonly DeviceBuffer[];
  readonly #tensors = new Map<string, Tensor>();

  /**
   * Makes the buffers, and a tensor in them for each item.
   * @param kind what the tensors hold: part of their names, unless it is 'weight'.
   * @throws UserError when a tensor exceeds the adapter's limits.
   */
  constructor(memory: Memory, kind: string, items: readonly ArenaItem[], dtype: DType = 'f32') {
    this.items = items;
    const alignment = dtype === 'u8' ? BYTE_ALIGNMENT : ALIGNMENT;
    const aligned = (elements: number): number => Math.ceil(elements / alignment) * alignment;
    const most = memory.adapter.limits.maxBufferSize! / BYTES.f32; // whatever the type, so that places are the same
    const nameOf = (name: string) => (kind === 'weight' ? name : `${name} (${kind})`);
    const chunks: { readonly items: ArenaItem[]; elements: number }[] = [];
    for (const item of items) {
      const elements = aligned(sizeOf(item.shape));
      const last = chunks.at(-1);
      if (last && last.elements + elements <= most) {
        last.items.push(item);
        last.elements += elements;
      } else {
        chunks.push({ items: [item], elements });
      }
    }
    const buffers: DeviceBuffer[] = [];
    this.buffers = buffers;
    try {
      for (const chunk of chunks) {
        const [first] = chunk.items;
        const isAlone = chunk.items.length === 1;
        const label = isAlone ? nameOf(first!.name) : `${kind}s from ${first!.name} on`;
        const elements = isAlone ? sizeOf(first!.shape) : chunk.elements;
        const buffer = memory.createBuffer(label, BYTES[dtype] * elements);
        buffers.push(buffer);
        let at = 0;
        for (const { name, shape } of chunk.items) {
          this.#tensors.set(name, persistent(nameOf(name), shape, buffer, dtype, BYTES[dtype] * at));
          at += aligned(sizeOf(shape));
        }
      }
    } catch (error) {
      this.destroy();
      throw error;
    }
  }

  has(name: string): boolean {
    return this.#tensors.has(name);
  }

  /** Returns a tensor by name. @throws Error when there is none of that name. */
  tensor(name: string): Tensor {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new Error(`there is no '${name}' in the arena`);
    return tensor;
  }

  /** Whether two tensors are in one buffer: then those between them are too. */
  areTogether(a: string, b: string): boolean {
    return this.tensor(a).buffer === this.tensor(b).buffer;
  }

  /** Returns runs of neighbours in one buffer for which `isAlike` holds between one and the next, in order. */
  stretches(isAlike: (previous: string, next: string) => boolean): string[][] {
    const runs: string[][] = [];
    for (const name of this.#tensors.keys()) {
      const previous = runs.at(-1)?.at(-1);
      if (previous !== undefined && this.areTogether(previous, name) && isAlike(previous, name)) {
        runs.at(-1)!.push(name);
      } else {
        runs.push([name]);
      }
    }
    return runs;
  }

  /** Returns a stretch of neighbours as one tensor [n], with the zeros that stand between them. */
  span(names: readonly string[]): Tensor {
    const [first, last] = [this.tensor(names[0]!), this.tensor(names.at(-1)!)];
    if (first === last) return first;
    const { name, buffer, dtype, offsetBytes = 0 } = first;
    const count = (last.offsetBytes! - offsetBytes) / BYTES[dtype] + sizeOf(last.shape);
    return persistent(`${name} … ${last.name}`, [count], buffer!, dtype, offsetBytes);
  }

  destroy(): void {
    for (const buffer of this.buffers) buffer.destroy();
  }
}
