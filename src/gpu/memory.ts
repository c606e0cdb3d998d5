/** Where buffers come from: a device, or a count of what a device would have to hold. */
import type { AdapterDescription } from './adapters.js';
import { type BufferUsage, DeviceBuffer } from './buffer.js';

export interface Memory {
  readonly adapter: AdapterDescription;
  /** Whether buffers keep what is written to them: values that take long to make need not be made where they do not. */
  readonly holdsValues: boolean;
  createBuffer(label: string, sizeBytes: number, usage?: BufferUsage): DeviceBuffer;
  /** Writes data; data and offset are in whole words. */
  write(buffer: DeviceBuffer, data: Float32Array | Uint32Array | Uint16Array, offsetBytes?: number): void;
}

/**
 * Returns the bytes that a buffer of this content takes: whole words, and at least 16, since a binding cannot be empty.
 */
export const allocatedBytes = (sizeBytes: number): number => Math.max(16, Math.ceil(sizeBytes / 4) * 4);

/** Bytes in words: mebibytes, rounded up. */
export const mebibytes = (bytes: number): string => `${Math.ceil(bytes / 2 ** 20)} MiB`;

/** Says why the adapter cannot have such a buffer; undefined where it can. */
export function refusal(adapter: AdapterDescription, label: string, sizeBytes: number): string | undefined {
  const limit = adapter.limits.maxBufferSize!;
  if (sizeBytes <= limit) return undefined;
  return (
    `'${label}' needs ${sizeBytes} bytes in one buffer; the adapter '${adapter.name}' allows ${limit} ` +
    '(maxBufferSize). ' +
    'Use a smaller micro-batch, context length, model or vocabulary.'
  );
}

/** Counts buffers instead of making them, so that a plan of any size can be laid out. */
export class MemoryCount implements Memory {
  readonly adapter: AdapterDescription;
  readonly holdsValues = false;
  /** The bytes of the buffers counted so far. */
  bytes = 0;
  /** Why the adapter would refuse buffers, in its own words. */
  readonly refusals: string[] = [];

  constructor(adapter: AdapterDescription) {
    this.adapter = adapter;
  }

  createBuffer(label: string, sizeBytes: number): DeviceBuffer {
    const refused = refusal(this.adapter, label, sizeBytes);
    if (refused) this.refusals.push(refused);
    const size = allocatedBytes(sizeBytes);
    this.bytes += size;
    return DeviceBuffer.of(undefined, label, size, () => {
      this.bytes -= size;
    });
  }

  /** Does nothing: there is nothing to write to. */
  write(): void {}
}
