/** What a driver does to a device, in words: it gives it up, has no memory for it, or refuses a call. */
import { mebibytes } from './memory.js';

/** The driver gave up the device, or answers nothing: it was reset, went away, or hangs. Another may be opened. */
export class DeviceLostError extends Error {
  override name = 'DeviceLostError';

  /** The milliseconds that it was waited for in vain, where it hangs. */
  readonly waitedMs: number | undefined;

  constructor(message: string, waitedMs?: number) {
    super(message);
    this.waitedMs = waitedMs;
  }
}

/** The driver has no memory for what was asked for. */
export class OutOfMemoryError extends Error {
  override name = 'OutOfMemoryError';
}

/** Returns the error for what Dawn reports of the adapter's device, whose buffers take so many bytes by now. */
export function errorOf(error: GPUError, adapter: string, bytes: number): Error {
  const { message } = error;
  if (error.constructor.name !== 'GPUOutOfMemoryError') return new Error(`WebGPU error on '${adapter}': ${message}`);
  const [, label] = /BufferDescriptor "+([^"]+)"/.exec(message) ?? [];
  return new OutOfMemoryError(
    `'${adapter}' is out of memory${label === undefined ? '' : ` for the buffer '${label}'`}: ` +
      `all that were asked for take ${mebibytes(bytes)}`,
  );
}
