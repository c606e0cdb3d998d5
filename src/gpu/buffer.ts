/** Device memory, in whole buffers. */

/** A buffer on the device; `label` says what it holds, in error messages and profiles. */
export class DeviceBuffer {
  readonly label: string;
  readonly sizeBytes: number;
  /** Dawn's own object: only src/gpu touches it. */
  readonly handle: GPUBuffer;
  readonly #onDestroy: (buffer: DeviceBuffer) => void;
  #destroyed = false;

  constructor(handle: GPUBuffer, label: string, sizeBytes: number, onDestroy: (buffer: DeviceBuffer) => void) {
    this.handle = handle;
    this.label = label;
    this.sizeBytes = sizeBytes;
    this.#onDestroy = onDestroy;
  }

  destroy(): void {
    if (this.#destroyed) return;
    this.#destroyed = true;
    this.handle.destroy();
    this.#onDestroy(this);
  }
}

/** A part of a buffer as a kernel sees it. Storage offsets must be multiples of the adapter's alignment (≤ 256). */
export interface BufferRange {
  readonly buffer: DeviceBuffer;
  readonly offsetBytes: number;
  readonly sizeBytes: number;
}
