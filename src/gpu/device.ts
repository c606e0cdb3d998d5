/** An open device: buffers, compiled kernels, submission, readback, and counts of what was made. */
import { UserError } from '../errors.js';
import type { AdapterDescription } from './adapters.js';
import { type BufferRange, type BufferUsage, DeviceBuffer } from './buffer.js';
import { BUFFER_USAGE } from './buffer-usage.js';
import type { AdapterChoice } from './choose-adapter.js';
import { compileKernel, diagnoseKernel, type LineOrigin } from './compile.js';
import { DeviceLostError, errorOf } from './device-errors.js';
import { abandon, withinTime } from './hang.js';
import { writeKernel } from './kernel-files.js';
import { allocatedBytes, type Memory, refusal } from './memory.js';
import { withNaps } from './naps.js';
import { type Command, encode, type Pipeline } from './program.js';
import { Readback } from './readback.js';
import {
  DispatchQueries,
  type DispatchTime,
  dispatchTimes,
  type HostSpan,
  partsToTime,
  type Timeline,
} from './timeline.js';

/** How many of each were made since the device was opened. */
export interface Counters {
  buffers: number;
  pipelines: number;
  bindGroups: number;
  submits: number;
  dispatches: number;
  readbacks: number;
}

export class Device implements Memory {
  readonly choice: AdapterChoice;
  readonly adapter: AdapterDescription;
  readonly holdsValues = true;
  readonly counters: Counters = { buffers: 0, pipelines: 0, bindGroups: 0, submits: 0, dispatches: 0, readbacks: 0 };
  /** The bytes in buffers that are alive now, and the most there ever were. */
  readonly memory = { bytes: 0, peakBytes: 0 };
  /** The milliseconds that a wait for the device may take before the device is taken for lost. */
  patience = Number.POSITIVE_INFINITY;
  readonly #handle: GPUDevice;
  readonly #kernelFiles: string | undefined;
  readonly #queue: GPUQueue; // the getter makes a new wrapper at each access
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  readonly #readback: Readback;
  #changes = 0;
  #failure: Error | undefined;
  #closed = false;
  #isHung = false;

  private constructor(handle: GPUDevice, choice: AdapterChoice, kernelFiles: string | undefined) {
    this.#kernelFiles = kernelFiles;
    this.choice = choice;
    this.adapter = choice.chosen;
    this.#handle = handle;
    this.#queue = handle.queue;
    this.#readback = new Readback({
      createStaging: sizeBytes => this.createBuffer('readback', sizeBytes, 'staging'),
      copy: (ranges, staging) => this.#copy(ranges, staging),
      wait: work => this.#wait(work),
      check: () => this.check(),
      cause: error => this.#failure ?? error,
      changes: () => this.#changes,
    });
    handle.onuncapturederror = event => {
      event.preventDefault(); // it is thrown, and need not be printed
      this.#failure ??= errorOf(event.error, this.adapter.name, this.memory.bytes);
    };
    void handle.lost.then(info => {
      if (!this.#closed) this.#failure = new DeviceLostError(`the device was lost: ${info.message}`);
    });
  }

  /**
   * @param kernelFiles folder that every kernel is written to as it is compiled.
   * @internal
   */
  static of(handle: GPUDevice, choice: AdapterChoice, kernelFiles: string | undefined): Device {
    return new Device(handle, choice, kernelFiles);
  }

  /** Waits for what the driver says of the calls made so far, not for the device's work. @throws as `check`. */
  async settle(): Promise<void> {
    this.#handle.pushErrorScope('internal');
    await this.#handle.popErrorScope(); // errors before it are reported before it
    this.check();
  }

  /** Checks for errors. @throws the first error that the device reported, if there was one. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /**
   * Makes a buffer for kernels, filled with zeros.
   * @throws UserError when it exceeds the adapter's limits.
   */
  createBuffer(label: string, sizeBytes: number, usage: BufferUsage = 'storage'): DeviceBuffer {
    const refused = refusal(this.adapter, label, sizeBytes);
    if (refused) throw new UserError(refused);
    const bits = {
      storage: BUFFER_USAGE.STORAGE | BUFFER_USAGE.COPY_SRC | BUFFER_USAGE.COPY_DST,
      uniform: BUFFER_USAGE.UNIFORM | BUFFER_USAGE.COPY_DST,
      staging: BUFFER_USAGE.MAP_READ | BUFFER_USAGE.COPY_DST,
    }[usage];
    const size = allocatedBytes(sizeBytes);
    const handle = this.#handle.createBuffer({ label, size, usage: bits });
    this.counters.buffers++;
    this.memory.bytes += size;
    this.memory.peakBytes = Math.max(this.memory.peakBytes, this.memory.bytes);
    return DeviceBuffer.of(handle, label, size, () => {
      this.memory.bytes -= size;
    });
  }

  write(buffer: DeviceBuffer, data: Float32Array | Uint32Array | Uint16Array | Uint8Array, offsetBytes = 0): void {
    if (offsetBytes + data.byteLength > buffer.sizeBytes) {
      throw new Error(`${data.byteLength} bytes at ${offsetBytes} exceed '${buffer.label}' of ${buffer.sizeBytes}`);
    }
    this.#changes++;
    this.#queue.writeBuffer(buffer.handle, offsetBytes, data as Float32Array<ArrayBuffer>);
  }

  /** Returns the bytes of a buffer after everything submitted so far. */
  read(buffer: DeviceBuffer, offsetBytes = 0, sizeBytes = buffer.sizeBytes - offsetBytes): Promise<ArrayBuffer> {
    return this.copyOut(buffer, offsetBytes, sizeBytes)();
  }

  /**
   * Returns the same of a range that may be large, read in pieces.
   * @throws Error when it is more than one, and something is written or run before all are read.
   */
  readInPieces(range: BufferRange, pieceBytes?: number): Promise<ArrayBuffer> {
    return this.#readback.inPieces(range, pieceBytes);
  }

  /**
   * Copies as `read` does, but submits only the copy now. The function that it returns waits for the copy and for
   * nothing later.
   */
  copyOut(
    buffer: DeviceBuffer,
    offsetBytes = 0,
    sizeBytes = buffer.sizeBytes - offsetBytes,
  ): () => Promise<ArrayBuffer> {
    return this.copyOutAll([{ buffer, offsetBytes, sizeBytes }]);
  }

  /** Copies ranges out as `copyOut` does one. Their bytes come one after another. */
  copyOutAll(ranges: readonly BufferRange[]): () => Promise<ArrayBuffer> {
    return this.#readback.copyOut(ranges);
  }

  /** Fills `into` from a staging buffer after everything submitted so far, which may not be used until then. */
  readStaging(staging: DeviceBuffer, into: Uint8Array): Promise<void> {
    this.counters.readbacks++;
    return this.#readback.mapped(staging, into.byteLength, mapped => into.set(new Uint8Array(mapped)));
  }

  /** Submits copies for the host to read. */
  #copy(ranges: readonly BufferRange[], staging: DeviceBuffer): void {
    const encoder = this.#handle.createCommandEncoder();
    let at = 0;
    for (const range of ranges) {
      encoder.copyBufferToBuffer(range.buffer.handle, range.offsetBytes, staging.handle, at, range.sizeBytes);
      at += range.sizeBytes;
    }
    this.#submit(encoder);
    this.counters.readbacks++;
  }

  /**
   * Compiles a kernel, once for each distinct source. `originOf` says where a line of the source was written.
   * @throws Error with the compiler's messages and the lines that they are about.
   */
  compile(label: string, source: string, originOf: LineOrigin = () => undefined): Promise<Pipeline> {
    let pipeline = this.#pipelines.get(source);
    if (!pipeline) {
      this.counters.pipelines++;
      if (this.#kernelFiles !== undefined) writeKernel(this.#kernelFiles, label, source);
      pipeline = compileKernel(this.#handle, label, source, originOf);
      this.#pipelines.set(source, pipeline);
    }
    return pipeline;
  }

  /**
   * Returns what the WGSL compiler finds wrong with a source, before any driver sees it. Kernels for other adapters can
   * be checked too.
   */
  diagnose(source: string): Promise<string[]> {
    return diagnoseKernel(this.#handle, source);
  }

  /**
   * Binds ranges by the numbers of their bindings.
   * @internal
   */
  bind(pipeline: Pipeline, ranges: readonly (readonly [binding: number, range: BufferRange])[]): GPUBindGroup {
    this.counters.bindGroups++;
    return this.#handle.createBindGroup({
      label: pipeline.label,
      layout: pipeline.handle.getBindGroupLayout(0),
      entries: ranges.map(([binding, { buffer, offsetBytes, sizeBytes }]) => ({
        binding,
        resource: { buffer: buffer.handle, offset: offsetBytes, size: sizeBytes },
      })),
    });
  }

  /** Encodes and submits the commands in one go; it does not wait. */
  submit(commands: readonly Command[]): void {
    this.check();
    this.#changes++;
    const encoder = this.#handle.createCommandEncoder();
    this.counters.dispatches += encode(encoder, commands);
    this.#submit(encoder);
  }

  #submit(encoder: GPUCommandEncoder): void {
    this.counters.submits++;
    this.#queue.submit([encoder.finish()]);
  }

  /** Waits until everything submitted has run. Dawn polls while a promise is pending, which costs a core. */
  async idle(): Promise<void> {
    await this.#wait(this.#queue.onSubmittedWorkDone());
    this.check();
  }

  /** Waits for work of the device. @throws DeviceLostError when it takes longer than `patience`. */
  #wait(work: Promise<unknown>): Promise<unknown> {
    const { patience } = this;
    const onHang = () => {
      this.#isHung = true;
      abandon(this.#handle);
      this.#failure ??= new DeviceLostError(
        `the device hangs: it finished nothing in ${Math.round(patience / 1000)} s`,
        patience,
      );
      return this.#failure;
    };
    return withNaps(withinTime(work, patience, onHang));
  }

  /**
   * Runs the commands with each dispatch in a pass of its own and returns its GPU time in milliseconds, in order.
   * @throws Error where the adapter has no timestamps.
   */
  async time(commands: readonly Command[]): Promise<DispatchTime[]> {
    return [...(await this.trace(commands)).dispatches];
  }

  /** Times commands as `time` does, and returns also what the host did meanwhile. */
  async trace(commands: readonly Command[]): Promise<Timeline> {
    if (!this.#handle.features.has('timestamp-query')) {
      throw new Error(`'${this.adapter.name}' has no timestamp queries`);
    }
    const host: HostSpan[] = [];
    const began = performance.now();
    const span = (activity: HostSpan['activity'], started: number) =>
      host.push({ activity, start: started - began, milliseconds: performance.now() - started });
    const reads = partsToTime(commands).map(part => this.#submitTimed(part, span));
    const waiting = performance.now();
    const stamps: bigint[] = [];
    for (const read of reads) stamps.push(...(await read()));
    span('wait', waiting);
    return { dispatches: dispatchTimes(commands, stamps), host };
  }

  /**
   * Submits commands with timestamps. The function that it returns waits for them: the begin and end of each dispatch.
   */
  #submitTimed(
    commands: readonly Command[],
    span: (activity: HostSpan['activity'], started: number) => void,
  ): () => Promise<BigUint64Array> {
    const started = performance.now();
    const queries = new DispatchQueries(this.#handle, commands);
    const target = this.createBuffer('timestamps', queries.sizeBytes);
    const encoder = this.#handle.createCommandEncoder();
    this.counters.dispatches += encode(encoder, commands, queries.next);
    queries.resolve(encoder, target.handle);
    span('encode', started);
    const submitting = performance.now();
    this.#changes++;
    this.#submit(encoder);
    const read = this.copyOut(target, 0, queries.sizeBytes);
    span('submit', submitting);
    return async () => {
      const stamps = new BigUint64Array(await read());
      queries.destroy();
      target.destroy();
      return stamps;
    };
  }

  /** Frees the device; buffers made by it are gone. Node can exit only after this. One that hangs stays as it is. */
  close(): void {
    if (this.#closed || this.#isHung) return;
    this.#closed = true;
    this.#readback.destroy();
    this.#handle.destroy();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
