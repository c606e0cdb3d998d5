/** What kernels have in common whose threads are independent, some elements each, and that are not tuned. */
import { checkIndexable, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { defaultElements, valueConstants, valueType, vectorOf } from './row-variant.js';
import type { Constants } from './source.js';
import type { VariantTable } from './variants.js';
import { rowWindows } from './windows.js';

/**
 * Calls of a kernel on operands of `count` elements each, of which a thread takes vectors: of operand `x` an X_VALUE.
 * Long tensors are taken window by window. Operands that are `shared` are bound whole, whatever their size.
 */
export function elementwise(
  variants: VariantTable,
  name: string,
  count: number,
  operands: Readonly<Record<string, Operand>>,
  constants: Constants,
  shared: Readonly<Record<string, Operand>> = {},
  params: Readonly<Record<string, number>> = {},
): KernelCall[] {
  checkIndexable(name, count);
  const { workgroup: WORKGROUP, each: EACH, vector: widest } = defaultElements(variants.adapter);
  // words of two bf16 are taken apart one by one
  const isWhole = Object.values(operands).every(({ type }) => type !== 'bf16');
  const vector = isWhole ? vectorOf(widest, count) : 1;
  const values = Object.entries(operands).map(([key, { type }]) => [
    `${key.toUpperCase()}_VALUE`,
    valueType(type, vector),
  ]);
  const elements = Object.fromEntries(Object.entries(operands).map(([key, operand]) => [key, [operand, 1] as const]));
  return rowWindows(variants.maxBindingBytes, count, elements).map(window =>
    kernelCall(name, {
      constants: { WORKGROUP, EACH, ...valueConstants(vector), ...Object.fromEntries(values), ...constants },
      operands: { ...shared, ...window.operands },
      params: { count: window.count / vector, ...params },
      workgroups: linearGrid(Math.ceil(window.count / (WORKGROUP * EACH * vector))),
    }),
  );
}
