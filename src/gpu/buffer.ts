/** Device memory, in whole buffers. */
import { UserError } from '../errors.js';

/** What a buffer is for: kernels' data, kernels' parameters, or reading back. */
export type BufferUsage = 'storage' | 'uniform' | 'staging';

/** A buffer on the device; `label` says what it holds, in error messages and profiles. */
export class DeviceBuffer {
  readonly label: string;
  readonly sizeBytes: number;
  readonly #handle: GPUBuffer | undefined;
  readonly #onDestroy: (buffer: DeviceBuffer) => void;
  #destroyed = false;

  private constructor(
    handle: GPUBuffer | undefined,
    label: string,
    sizeBytes: number,
    onDestroy: (buffer: DeviceBuffer) => void,
  ) {
    this.#handle = handle;
    this.label = label;
    this.sizeBytes = sizeBytes;
    this.#onDestroy = onDestroy;
  }

  /**
   * Wraps a buffer.
   * @param handle undefined for a buffer that is only counted (see `MemoryCount`).
   * @internal
   */
  static of(
    handle: GPUBuffer | undefined,
    label: string,
    sizeBytes: number,
    onDestroy: (buffer: DeviceBuffer) => void,
  ): DeviceBuffer {
    return new DeviceBuffer(handle, label, sizeBytes, onDestroy);
  }

  /**
   * Dawn's own object: only src/gpu touches it.
   * @throws UserError when it was destroyed; Dawn would say so too late.
   * @internal
   */
  get handle(): GPUBuffer {
    if (this.#destroyed) throw new UserError(`'${this.label}' was freed by destroy() of what it belonged to`);
    if (!this.#handle) throw new Error(`'${this.label}' was counted, not made`);
    return this.#handle;
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.#handle?.destroy();
    this.#onDestroy(this);
  }

  [Symbol.dispose](): void {
    this.destroy();
  }
}

/** A part of a buffer as a kernel sees it. Storage offsets must be multiples of the adapter's alignment (≤ 256). */
export interface BufferRange {
  readonly buffer: DeviceBuffer;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}
