/** Kernels whose threads are independent: one element, or one column, each. Long tensors are taken window by window. */
import { checkIndexable, f32, type KernelCall, kernelCall, linearGrid, type Operand, type Param } from './call.js';
import type { Holes } from './source.js';
import { rowWindows } from './split.js';
import type { KernelTable } from './table.js';

/** Threads of a workgroup. */
const WORKGROUP = 128;

function call(
  kernels: KernelTable,
  name: string,
  count: number,
  operands: readonly Operand[],
  {
    shared = [],
    params = [],
    holes = {},
  }: { shared?: readonly Operand[]; params?: readonly Param[]; holes?: Holes } = {},
): KernelCall[] {
  checkIndexable(name, count);
  const elements = operands.map(operand => [operand, 1] as const);
  return rowWindows(kernels.maxBindingBytes, count, elements).map(window => {
    const workgroups = linearGrid(Math.ceil(window.count / WORKGROUP));
    const buffers = [...shared, ...window.operands];
    return kernelCall(name, { WORKGROUP, ...holes }, buffers, [window.count, ...params], workgroups);
  });
}

/** y = a + b. */
export function add(kernels: KernelTable, count: number, buffers: Record<'a' | 'b' | 'y', Operand>): KernelCall[] {
  const { a, b, y } = buffers;
  const holes = { ACCUMULATE: false, A_TYPE: a.type, B_TYPE: b.type, Y_TYPE: y.type };
  return call(kernels, 'add', count, [a, b, y], { holes });
}

/** y += a. */
export function accumulate(kernels: KernelTable, count: number, { a, y }: Record<'a' | 'y', Operand>): KernelCall[] {
  return call(kernels, 'add', count, [a, y], {
    holes: { ACCUMULATE: true, A_TYPE: a.type, B_TYPE: a.type, Y_TYPE: y.type },
  });
}

/** y = x in y's type. */
export function cast(kernels: KernelTable, count: number, { x, y }: Record<'x' | 'y', Operand>): KernelCall[] {
  return call(kernels, 'cast', count, [x, y], { holes: { X_TYPE: x.type, Y_TYPE: y.type } });
}

export interface AdamwSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
}

/** `half` is a copy of the parameter in f16 that is kept in step with it. */
export function adamw(
  kernels: KernelTable,
  count: number,
  { beta1, beta2, eps, weightDecay }: AdamwSettings,
  buffers: Record<'gradient' | 'schedule' | 'health' | 'parameter' | 'm' | 'v', Operand> & {
    half?: Operand | undefined;
  },
): KernelCall[] {
  const { gradient, schedule, health, parameter, m, v, half } = buffers;
  const operands = half ? [gradient, parameter, m, v, half] : [gradient, parameter, m, v];
  return call(kernels, 'adamw', count, operands, {
    shared: [schedule, health],
    params: [beta1, beta2, 1 - beta1, 1 - beta2, eps, weightDecay].map(f32),
    holes: { HALF: half !== undefined },
  });
}
