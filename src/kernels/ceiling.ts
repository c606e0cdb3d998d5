/** What an adapter gives at most: multiply-adds in registers, and a copy through its memory. */
import { type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';

/** Chains that hide the latency of a multiply-add and still fit the registers, and how far the loop is unrolled. */
const [CHAINS, UNROLL] = [12, 8];
const WORKGROUP = 128;

/**
 * y [threads] = the sum of a thread's chains after `rounds` of the loop, each of which adds 1 to a chain `UNROLL`
 * times.
 */
export const ceilingFma = (threads: number, rounds: number, { y }: Record<'y', Operand>): KernelCall =>
  kernelCall('ceiling_fma', {
    constants: { WORKGROUP, CHAINS, UNROLL },
    operands: { y },
    params: { count: threads, rounds, factor: 1, addend: 1 },
    workgroups: linearGrid(threads / WORKGROUP),
    flops: ceilingFmaFlops(threads, rounds),
  });

export const ceilingFmaFlops = (threads: number, rounds: number): number => 2 * threads * rounds * CHAINS * UNROLL;

/** The sum of thread number `thread`, a whole number that f32 holds. */
export const ceilingFmaSum = (thread: number, rounds: number): number =>
  (CHAINS * (CHAINS - 1)) / 2 + CHAINS * rounds * UNROLL + CHAINS * (thread % 64);

/** Vectors of a thread: the fastest of those tried on llvmpipe. */
const COPY = { WORKGROUP: 256, PER_THREAD: 8 };

/** y = x, `count` elements, a multiple of 4. */
export const ceilingCopy = (count: number, operands: Record<'x' | 'y', Operand>): KernelCall =>
  kernelCall('ceiling_copy', {
    constants: COPY,
    operands,
    params: { count: count / 4 },
    workgroups: linearGrid(Math.ceil(count / 4 / COPY.WORKGROUP / COPY.PER_THREAD)),
  });
