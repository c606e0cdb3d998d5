/** What the values of tensors look like: a reduction over each, read back by whoever watches a run. */
import { type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { ELEMENTS_PER_PART, elementParts } from './parts.js';
import { defaultReduceConstants } from './row-variant.js';
import type { VariantTable } from './variants.js';
import { rowWindows } from './windows.js';

/** Words of a part's report. */
export const HEALTH_WORDS = 5;
export const healthParts = elementParts;

/** Reports on a tensor of `count` elements, in parts, into report[5 * first …]. */
export function tensorHealth(
  variants: VariantTable,
  count: number,
  first: number,
  { x, report }: Record<'x' | 'report', Operand>,
): KernelCall[] {
  return calls(variants, count, first, { tensors: { x: [x, 1] }, others: { report }, eps: 0 });
}

/**
 * The same of what AdamW moves a parameter by, over the learning rate and without decay; `health` is gradient_norm's.
 */
export function updateHealth(
  variants: VariantTable,
  count: number,
  first: number,
  eps: number,
  { health, m, v, report }: Record<'health' | 'm' | 'v' | 'report', Operand>,
): KernelCall[] {
  return calls(variants, count, first, { tensors: { m: [m, 1], v: [v, 1] }, others: { health, report }, eps });
}

function calls(
  variants: VariantTable,
  count: number,
  first: number,
  {
    tensors,
    others,
    eps,
  }: {
    readonly tensors: Readonly<Record<string, readonly [operand: Operand, elements: 1]>>;
    readonly others: Readonly<Record<string, Operand>>;
    readonly eps: number;
  },
): KernelCall[] {
  return rowWindows(variants.maxBindingBytes, count, tensors, ELEMENTS_PER_PART).map(window =>
    kernelCall('tensor_health', {
      constants: {
        ...defaultReduceConstants(variants.adapter),
        ELEMENTS: ELEMENTS_PER_PART,
        UPDATE: 'health' in others,
      },
      operands: { ...window.operands, ...others },
      params: { count: window.count, first: first + window.start / ELEMENTS_PER_PART, eps },
      workgroups: linearGrid(healthParts(window.count)),
    }),
  );
}

/** A tensor's values in five numbers. */
export interface TensorHealth {
  /** Largest finite magnitude. */
  readonly amax: number;
  /** Root mean square of the finite values. */
  readonly rms: number;
  /** Shares of zeros, and of values below the smallest normal number that are not zero. */
  readonly zeros: number;
  readonly subnormal: number;
  /** How many are NaN or infinite. */
  readonly nonFinite: number;
}

/** Adds up the parts of a tensor of `count` elements. */
export function readTensorHealth(report: Uint32Array, first: number, count: number): TensorHealth {
  const floats = new Float32Array(report.buffer, report.byteOffset, report.length);
  let [amax, squares, zeros, subnormal, nonFinite] = [0, 0, 0, 0, 0];
  for (let part = first; part < first + healthParts(count); part++) {
    const at = HEALTH_WORDS * part;
    amax = Math.max(amax, floats[at]!);
    squares += floats[at + 1]!;
    zeros += report[at + 2]!;
    subnormal += report[at + 3]!;
    nonFinite += report[at + 4]!;
  }
  const rms = Math.sqrt(squares / Math.max(1, count - nonFinite));
  return { amax, rms, zeros: zeros / count, subnormal: subnormal / count, nonFinite };
}
