/** A program: commands whose pipelines, bind groups and sizes are fixed, encoded anew for every replay. */
import type { BufferRange, DeviceBuffer } from './buffer.js';

/** A compiled kernel. */
export interface Pipeline {
  readonly label: string;
  /** @internal */
  readonly handle: GPUComputePipeline;
}

export interface Dispatch {
  readonly kind: 'dispatch';
  readonly label: string;
  readonly pipeline: Pipeline;
  /** @internal */
  readonly bindGroup: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

export interface Copy {
  readonly kind: 'copy';
  readonly from: BufferRange;
  readonly to: BufferRange;
}

export interface Clear {
  readonly kind: 'clear';
  readonly buffer: DeviceBuffer;
}

export type Command = Dispatch | Copy | Clear;

/**
 * Returns where a command's GPU time goes: the query indices at its begin and end.
 * @internal
 */
export type TimestampsOf = (command: Dispatch) => GPUComputePassTimestampWrites;

/**
 * Encodes the commands in order. Neighbouring dispatches share a compute pass, unless each is timed in a pass of its
 * own.
 * @returns the number of dispatches.
 * @internal
 */
export function encode(encoder: GPUCommandEncoder, commands: readonly Command[], timestampsOf?: TimestampsOf): number {
  let pass: GPUComputePassEncoder | undefined;
  let dispatches = 0;
  const endPass = () => {
    pass?.end();
    pass = undefined;
  };
  for (const command of commands) {
    if (command.kind === 'dispatch') {
      if (timestampsOf) endPass();
      pass ??= encoder.beginComputePass(timestampsOf && { timestampWrites: timestampsOf(command) });
      pass.setPipeline(command.pipeline.handle);
      pass.setBindGroup(0, command.bindGroup);
      pass.dispatchWorkgroups(...command.workgroups);
      dispatches++;
    } else {
      endPass();
      if (command.kind === 'clear') encoder.clearBuffer(command.buffer.handle);
      else {
        const { from, to } = command;
        encoder.copyBufferToBuffer(
          from.buffer.handle,
          from.offsetBytes,
          to.buffer.handle,
          to.offsetBytes,
          from.sizeBytes,
        );
      }
    }
  }
  endPass();
  return dispatches;
}
