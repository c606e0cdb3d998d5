/** When the submitted commands ran on the device, and what the host did meanwhile. */
import { BUFFER_USAGE } from './buffer-usage.js';
import type { Command } from './program.js';

export interface DispatchTime {
  readonly label: string;
  readonly milliseconds: number;
  /** The milliseconds from the begin of the first dispatch to that of this one. */
  readonly start: number;
}

/** A stretch of the host's time, in milliseconds by its own clock, from the first one on. */
export interface HostSpan {
  readonly activity: 'encode' | 'submit' | 'wait';
  readonly start: number;
  readonly milliseconds: number;
}

export interface Timeline {
  /** The dispatches, in the order of the commands. */
  readonly dispatches: readonly DispatchTime[];
  readonly host: readonly HostSpan[];
}

const { QUERY_RESOLVE, COPY_SRC } = BUFFER_USAGE;

/** The dispatches of a query set: each takes two queries, and a set may not exceed 4096. */
const DISPATCHES_PER_SET = 2048;

/** Cuts commands into parts, in order. No part has more dispatches than a query set has room for. */
export function partsToTime(commands: readonly Command[]): Command[][] {
  const parts: Command[][] = [[]];
  let dispatches = 0;
  for (const command of commands) {
    if (command.kind === 'dispatch' && ++dispatches > DISPATCHES_PER_SET) {
      parts.push([]);
      dispatches = 1;
    }
    parts.at(-1)!.push(command);
  }
  return parts;
}

/**
 * The timestamps before and after each dispatch of one submission.
 * @internal
 */
export class DispatchQueries {
  readonly sizeBytes: number;
  readonly #set: GPUQuerySet;
  readonly #resolved: GPUBuffer;
  #next = 0;

  constructor(device: GPUDevice, commands: readonly Command[]) {
    const count = 2 * commands.filter(({ kind }) => kind === 'dispatch').length;
    this.sizeBytes = 8 * count;
    this.#set = device.createQuerySet({ type: 'timestamp', count });
    this.#resolved = device.createBuffer({ size: this.sizeBytes, usage: QUERY_RESOLVE | COPY_SRC });
  }

  /** Returns where the timestamps of the next dispatch go. */
  readonly next = (): GPUComputePassTimestampWrites => {
    const begin = this.#next;
    this.#next += 2;
    return { querySet: this.#set, beginningOfPassWriteIndex: begin, endOfPassWriteIndex: begin + 1 };
  };

  /** Has the timestamps copied to `target`, in nanoseconds of the device's clock. */
  resolve(encoder: GPUCommandEncoder, target: GPUBuffer): void {
    encoder.resolveQuerySet(this.#set, 0, this.sizeBytes / 8, this.#resolved, 0);
    encoder.copyBufferToBuffer(this.#resolved, 0, target, 0, this.sizeBytes);
  }

  destroy(): void {
    this.#set.destroy();
    this.#resolved.destroy();
  }
}

/** Returns the times of dispatches from the begin and end of each, in nanoseconds of the device's clock. */
export function dispatchTimes(commands: readonly Command[], stamps: readonly bigint[]): DispatchTime[] {
  return commands
    .filter(({ kind }) => kind === 'dispatch')
    .map((command, i) => ({
      label: (command as { readonly label: string }).label,
      milliseconds: Number(stamps[2 * i + 1]! - stamps[2 * i]!) / 1e6,
      start: Number(stamps[2 * i]! - stamps[0]!) / 1e6,
    }));
}
