/** How bytes come back from a device: through buffers that the host can map, of which the largest idle one is kept. */
import type { BufferRange, DeviceBuffer } from './buffer.js';
import { MAP_READ } from './buffer-usage.js';

/** What reading needs of a device. */
export interface ReadbackHost {
  createStaging(sizeBytes: number): DeviceBuffer;
  /** Submits copies of ranges into a staging buffer, one after another. */
  copy(ranges: readonly BufferRange[], staging: DeviceBuffer): void;
  wait(work: Promise<unknown>): Promise<unknown>;
  /** @throws the first error that the device reported, if there was one. */
  check(): void;
  /** Returns the first error that the device reported, else the one given. */
  cause(error: unknown): unknown;
  /** The number of things that were written or run so far. */
  changes(): number;
}

/** The bytes of a tensor that are read at once, where it may be read in pieces. */
export const PIECE_BYTES = 64 * 2 ** 20;

export class Readback {
  readonly #host: ReadbackHost;
  readonly #idle: DeviceBuffer[] = [];

  constructor(host: ReadbackHost) {
    this.#host = host;
  }

  /** Submits the copies now. The function that this returns waits for them; their bytes come one after another. */
  copyOut(ranges: readonly BufferRange[]): () => Promise<ArrayBuffer> {
    const sizeBytes = ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
    const staging = this.#take(sizeBytes);
    this.#host.copy(ranges, staging);
    return async () => {
      const copy = await this.mapped(staging, sizeBytes, bytes => bytes.slice(0));
      this.#idle.push(staging);
      return copy;
    };
  }

  /**
   * Reads a range piece by piece, of a multiple of 4 bytes each, so that the way back takes little memory.
   * @throws Error when something was written or run meanwhile, since pieces of different times may not fit each other.
   */
  async inPieces({ buffer, offsetBytes, sizeBytes }: BufferRange, pieceBytes = PIECE_BYTES): Promise<ArrayBuffer> {
    if (sizeBytes <= pieceBytes) return this.copyOut([{ buffer, offsetBytes, sizeBytes }])();
    const bytes = new Uint8Array(sizeBytes);
    const changes = this.#host.changes();
    for (let at = 0; at < sizeBytes; at += pieceBytes) {
      const piece = { buffer, offsetBytes: offsetBytes + at, sizeBytes: Math.min(pieceBytes, sizeBytes - at) };
      bytes.set(new Uint8Array(await this.copyOut([piece])()), at);
      if (this.#host.changes() === changes || at + piece.sizeBytes === sizeBytes) continue;
      throw new Error(`'${buffer.label}' may have changed while it was read: await the read before the next step`);
    }
    return bytes.buffer;
  }

  /** Returns what `take` makes of the first bytes of a staging buffer, after everything submitted so far. */
  async mapped<T>(staging: DeviceBuffer, sizeBytes: number, take: (mapped: ArrayBuffer) => T): Promise<T> {
    const host = this.#host;
    try {
      await host.wait(staging.handle.mapAsync(MAP_READ, 0, sizeBytes));
      const taken = take(staging.handle.getMappedRange(0, sizeBytes));
      staging.handle.unmap();
      host.check();
      return taken;
    } catch (error) {
      throw host.cause(error);
    }
  }

  /** Returns an idle staging buffer, or a new one that replaces the smaller idle ones: the largest is kept. */
  #take(sizeBytes: number): DeviceBuffer {
    const index = this.#idle.findIndex(buffer => buffer.sizeBytes >= sizeBytes);
    if (index >= 0) return this.#idle.splice(index, 1)[0]!;
    for (const small of this.#idle.splice(0)) small.destroy();
    return this.#host.createStaging(sizeBytes);
  }

  destroy(): void {
    for (const buffer of this.#idle) buffer.destroy();
  }
}
