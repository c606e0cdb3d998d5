/** Runs an op that a training run kept, on the inputs that it had. */
import { compile } from '../cases/bench.js';
import type { Device } from '../gpu/device.js';
import { BYTES, floatsOf } from '../kernels/element-type.js';
import { callOfRecord, type RecordedOp } from '../train/recorded-op.js';

/**
 * The contents of a tensor: how much is not finite, where the first such value is, and the largest finite magnitude.
 */
export interface TensorSummary {
  readonly name: string;
  readonly count: number;
  readonly nonFinite: number;
  /** The index of the first value that is not finite; -1 where all are finite. */
  readonly firstNonFinite: number;
  readonly amax: number;
}

export interface ReplayedOp {
  readonly inputs: readonly TensorSummary[];
  readonly results: readonly TensorSummary[];
}

/** Runs the op. @throws Error when its kernels, which were made for another adapter, do not compile on this one. */
export async function replayOp(device: Device, op: RecordedOp): Promise<ReplayedOp> {
  const buffers = op.buffers.map(({ name, sizeBytes }, i) => {
    const buffer = device.createBuffer(name, sizeBytes);
    device.write(buffer, wordsOf(op.contents[i]!));
    return buffer;
  });
  const parameters = device.createBuffer('parameters', 256 * op.calls.length, 'uniform');
  try {
    const calls = op.calls.map(call => callOfRecord(call, buffers));
    device.submit(await compile(device, calls, () => parameters));
    const results: TensorSummary[] = [];
    for (const { name, buffer, type, count } of op.results) {
      const bytes = await device.read(buffers[buffer]!, 0, 4 * Math.ceil((count * BYTES[type]) / 4));
      results.push(summary(name, floatsOf(bytes, type).subarray(0, count)));
    }
    const made = new Set(op.results.map(({ buffer }) => buffer));
    const inputs = op.buffers.flatMap(({ name, type }, i) =>
      made.has(i) || type === 'u32' ? [] : [summary(name, floatsOf(wordsOf(op.contents[i]!).buffer, type))],
    );
    return { inputs, results };
  } finally {
    for (const buffer of [...buffers, parameters]) buffer.destroy();
  }
}

const wordsOf = (bytes: Uint8Array): Uint32Array<ArrayBuffer> => new Uint32Array(bytes.slice().buffer);

function summary(name: string, values: Float32Array): TensorSummary {
  let [nonFinite, firstNonFinite, amax] = [0, -1, 0];
  values.forEach((value, i) => {
    if (Number.isFinite(value)) amax = Math.max(amax, Math.abs(value));
    else if (nonFinite++ === 0) firstNonFinite = i;
  });
  return { name, count: values.length, nonFinite, firstNonFinite, amax };
}
