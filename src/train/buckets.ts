/** Buckets: what a program computes, in the order in which it is ready, so that it can be sent while the rest runs. */
import type { Plan } from '../autograd/plan.js';
import { rangeOf, type Tensor } from '../autograd/tensor.js';
import type { BufferRange } from '../gpu/buffer.js';
import type { Operand } from '../kernels/call.js';

export interface Bucket {
  /** The number of the plan's commands after which the values are final. */
  readonly after: number;
  readonly ranges: readonly Operand[];
}

/** The size that a bucket grows to, in bytes: as in PyTorch's DistributedDataParallel (Li et al., 2020). */
const BUCKET_BYTES = 25 * 2 ** 20;
/** Tensors that stand closer than this in a buffer have only zeros between them, and go as one range. */
const GAP_BYTES = 256;

/** Divides persistent tensors, which the nodes of a plan update, into buckets by the last node that updates each. */
export function bucketsOf(plan: Plan, tensors: readonly Tensor[], bucketBytes = BUCKET_BYTES): Bucket[] {
  const ready = tensors
    .map(tensor => ({ range: rangeOf(tensor, tensor.buffer!), last: lastUpdate(plan, tensor) }))
    .filter(({ last }) => last >= 0)
    .sort((a, b) => a.last - b.last);
  const buckets: Bucket[] = [];
  let ranges: Operand[] = [];
  ready.forEach(({ range, last }, i) => {
    ranges.push(range);
    const bytes = ranges.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const isNodesLast = ready[i + 1]?.last !== last;
    if (i < ready.length - 1 && (bytes < bucketBytes || !isNodesLast)) return;
    buckets.push({ after: plan.endOf(last), ranges: joined(ranges) });
    ranges = [];
  });
  return buckets;
}

function lastUpdate({ nodes }: Plan, tensor: Tensor): number {
  const own = rangeOf(tensor, tensor.buffer!);
  return nodes.findLastIndex(({ updates = [] }) =>
    updates.some(updated => updated.buffer === own.buffer && overlap(rangeOf(updated, own.buffer), own)),
  );
}

const endOf = ({ offsetBytes, sizeBytes }: BufferRange): number => offsetBytes + sizeBytes;
const overlap = (a: BufferRange, b: BufferRange): boolean => a.offsetBytes < endOf(b) && b.offsetBytes < endOf(a);

/** Joins ranges of one buffer, and so of one type, that follow each other. */
function joined(ranges: readonly Operand[]): Operand[] {
  const joint: Operand[] = [];
  for (const range of [...ranges].sort((a, b) => a.offsetBytes - b.offsetBytes)) {
    const at = joint.findIndex(
      before => before.buffer === range.buffer && range.offsetBytes - endOf(before) < GAP_BYTES,
    );
    if (at < 0) joint.push(range);
    else joint[at] = { ...joint[at]!, sizeBytes: endOf(range) - joint[at]!.offsetBytes };
  }
  return joint;
}
