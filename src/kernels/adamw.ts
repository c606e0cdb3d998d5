/** The AdamW update of one parameter. */
import { checkIndexable, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { gradientConstants, valueType, vectorConstants, vectorOf } from './row-variant.js';
import type { VariantTable } from './variants.js';
import { keptIn, type RowOperand, rowWindows } from './windows.js';

export interface AdamwSettings {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** A factor of the learning rate; 1 by default. */
  readonly rate?: number | undefined;
  /** The number of first elements that nothing moves; 0 by default. */
  readonly kept?: number | undefined;
  /** The parameter's schedule is its own: nothing changes while its step is 0, and corrections come from it. */
  readonly staged?: boolean | undefined;
  /** The operands are a part of a tensor: where it begins, and the elements of the whole, which decide the variant. */
  readonly part?: { readonly start: number; readonly whole: number } | undefined;
}

/** `half` is a copy of the parameter in f16 that is kept in step with it. Long tensors are taken window by window. */
export function adamw(
  variants: VariantTable,
  count: number,
  { beta1, beta2, eps, weightDecay, rate = 1, kept = 0, staged = false, part }: AdamwSettings,
  operands: Record<'gradient' | 'schedule' | 'health' | 'parameter' | 'm' | 'v', Operand> & {
    half?: Operand | undefined;
  },
): KernelCall[] {
  const { gradient, schedule, health, parameter, m, v, half } = operands;
  const { start, whole } = part ?? { start: 0, whole: count };
  checkIndexable('adamw', whole);
  const {
    workgroup,
    each,
    vector: most,
  } = variants.of('elements', {
    kernel: 'adamw',
    count: whole,
    type: half ? 'f16' : 'f32',
    gradient: gradient.type,
  });
  const vector = vectorOf(vectorOf(most, whole), kept);
  const constants = {
    ...vectorConstants(vector),
    ...gradientConstants(gradient),
    WORKGROUP: workgroup,
    EACH: each,
    HALF: half !== undefined,
    HALF_VALUE: valueType('f16', vector),
    STAGED: staged,
  };
  const settings = { beta1, beta2, complement1: 1 - beta1, complement2: 1 - beta2, eps, decay: weightDecay, rate };
  const elements = {
    gradient: [gradient, 1],
    parameter: [parameter, 1],
    m: [m, 1],
    v: [v, 1],
    half: half && [half, 1],
  } satisfies Record<string, RowOperand | undefined>;
  return rowWindows(variants.maxBindingBytes, count, elements).map(window =>
    kernelCall('adamw', {
      constants,
      operands: { schedule, health, ...window.operands },
      params: {
        count: window.count,
        ...settings,
        kept: keptIn({ start: start + window.start, count: window.count }, kept),
      },
      workgroups: linearGrid(Math.ceil(window.count / (workgroup * each * vector))),
    }),
  );
}
