/** Kernels whose threads are independent: one element, or one column, each. Long tensors are taken window by window. */
import { checkIndexable, f32, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { defaultElements, valueType, vectorHoles, vectorOf } from './row-variant.js';
import type { Holes } from './source.js';
import { rowWindows } from './split.js';
import type { KernelTable } from './table.js';

function call(
  kernels: KernelTable,
  name: string,
  count: number,
  operands: readonly Operand[],
  holes: Holes,
): KernelCall[] {
  checkIndexable(name, count);
  const { workgroup: WORKGROUP, each: EACH } = defaultElements(kernels.adapter);
  const elements = operands.map(operand => [operand, 1] as const);
  return rowWindows(kernels.maxBindingBytes, count, elements).map(window => {
    const workgroups = linearGrid(Math.ceil(window.count / (WORKGROUP * EACH)));
    return kernelCall(name, { WORKGROUP, EACH, ...holes }, window.operands, [window.count], workgroups);
  });
}

/** y = a + b. */
export function add(kernels: KernelTable, count: number, buffers: Record<'a' | 'b' | 'y', Operand>): KernelCall[] {
  const { a, b, y } = buffers;
  const holes = { ACCUMULATE: false, A_TYPE: a.type, B_TYPE: b.type, Y_TYPE: y.type };
  return call(kernels, 'add', count, [a, b, y], holes);
}

/** y += a. */
export function accumulate(kernels: KernelTable, count: number, { a, y }: Record<'a' | 'y', Operand>): KernelCall[] {
  return call(kernels, 'add', count, [a, y], { ACCUMULATE: true, A_TYPE: a.type, B_TYPE: a.type, Y_TYPE: y.type });
}

/** y = x in y's type, f32 or f16. */
export function cast(kernels: KernelTable, count: number, { x, y }: Record<'x' | 'y', Operand>): KernelCall[] {
  return call(kernels, 'cast', count, [x, y], { X_BFLOAT: x.type === 'bf16', X_TYPE: x.type, Y_TYPE: y.type });
}

export interface AdamwSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** The parameter's schedule is its own: nothing changes while its step is 0, and corrections come from it. */
  readonly staged?: boolean | undefined;
}

/** `half` is a copy of the parameter in f16 that is kept in step with it. */
export function adamw(
  kernels: KernelTable,
  count: number,
  { beta1, beta2, eps, weightDecay, staged = false }: AdamwSettings,
  buffers: Record<'gradient' | 'schedule' | 'health' | 'parameter' | 'm' | 'v', Operand> & {
    half?: Operand | undefined;
  },
): KernelCall[] {
  const { gradient, schedule, health, parameter, m, v, half } = buffers;
  checkIndexable('adamw', count);
  const operands = (half ? [gradient, parameter, m, v, half] : [gradient, parameter, m, v]).map(
    operand => [operand, 1] as const,
  );
  const type = half ? 'f16' : 'f32';
  const { workgroup, each, vector: most } = kernels.elements({ kernel: 'adamw', count, type });
  const vector = vectorOf(most, count);
  const holes = {
    ...vectorHoles(vector),
    WORKGROUP: workgroup,
    EACH: each,
    HALF: half !== undefined,
    HALF_VALUE: valueType('f16', vector),
    STAGED: staged,
  };
  const settings = [beta1, beta2, 1 - beta1, 1 - beta2, eps, weightDecay].map(f32);
  return rowWindows(kernels.maxBindingBytes, count, operands).map(window => {
    const workgroups = linearGrid(Math.ceil(window.count / (workgroup * each * vector)));
    const buffers = [schedule, health, ...window.operands];
    return kernelCall('adamw', holes, buffers, [window.count, ...settings], workgroups);
  });
}
