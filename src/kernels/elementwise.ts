/** What kernels have in common whose threads are independent, some elements each, and that are not tuned. */
import { checkIndexable, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { defaultElements } from './row-variant.js';
import type { Constants } from './source.js';
import type { VariantTable } from './variants.js';
import { rowWindows } from './windows.js';

/** Calls of a kernel on operands of `count` elements each. Long tensors are taken window by window. */
export function elementwise(
  variants: VariantTable,
  name: string,
  count: number,
  operands: Readonly<Record<string, Operand>>,
  constants: Constants,
): KernelCall[] {
  checkIndexable(name, count);
  const { workgroup: WORKGROUP, each: EACH } = defaultElements(variants.adapter);
  const elements = Object.fromEntries(Object.entries(operands).map(([key, operand]) => [key, [operand, 1] as const]));
  return rowWindows(variants.maxBindingBytes, count, elements).map(window =>
    kernelCall(name, {
      constants: { WORKGROUP, EACH, ...constants },
      operands: window.operands,
      params: { count: window.count },
      workgroups: linearGrid(Math.ceil(window.count / (WORKGROUP * EACH))),
    }),
  );
}
