/** Kernels whose threads are independent: one element, or one column, each. */
import type { BufferRange } from '../gpu/buffer.js';
import {
  checkIndexable,
  ELEMENTWISE_WORKGROUP,
  f32,
  type KernelCall,
  kernelCall,
  linearGrid,
  type Param,
} from './call.js';

const holes = { WORKGROUP: ELEMENTWISE_WORKGROUP };

function call(
  name: string,
  count: number,
  buffers: readonly BufferRange[],
  params: readonly Param[] = [],
  flags: Record<string, boolean> = {},
): KernelCall {
  checkIndexable(name, count);
  const workgroups = linearGrid(Math.ceil(count / ELEMENTWISE_WORKGROUP));
  return kernelCall(name, { ...holes, ...flags }, buffers, [count, ...params], workgroups);
}

export function swigluForward(count: number, buffers: Record<'gate' | 'up' | 'y', BufferRange>): KernelCall {
  return call('swiglu_forward', count, [buffers.gate, buffers.up, buffers.y]);
}

export function swigluBackward(
  count: number,
  buffers: Record<'gate' | 'up' | 'dy' | 'dgate' | 'dup', BufferRange>,
): KernelCall {
  const { gate, up, dy, dgate, dup } = buffers;
  return call('swiglu_backward', count, [gate, up, dy, dgate, dup]);
}

/** y = a + b. */
export function add(count: number, buffers: Record<'a' | 'b' | 'y', BufferRange>): KernelCall {
  return call('add', count, [buffers.a, buffers.b, buffers.y], [], { ACCUMULATE: false });
}

/** y += a. */
export function accumulate(count: number, buffers: Record<'a' | 'y', BufferRange>): KernelCall {
  return call('add', count, [buffers.a, buffers.y], [], { ACCUMULATE: true });
}

/** total[c] += sum over r of values[r, c]. */
export function sumRows(rows: number, columns: number, buffers: Record<'values' | 'total', BufferRange>): KernelCall {
  const workgroups = linearGrid(Math.ceil(columns / ELEMENTWISE_WORKGROUP));
  return kernelCall('sum_rows', holes, [buffers.values, buffers.total], [rows, columns], workgroups);
}

export interface AdamwSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
}

export function adamw(
  count: number,
  { beta1, beta2, eps, weightDecay }: AdamwSettings,
  buffers: Record<'gradient' | 'schedule' | 'health' | 'parameter' | 'm' | 'v', BufferRange>,
): KernelCall {
  const { gradient, schedule, health, parameter, m, v } = buffers;
  const params = [beta1, beta2, 1 - beta1, 1 - beta2, eps, weightDecay].map(f32);
  return call('adamw', count, [gradient, schedule, health, parameter, m, v], params);
}
