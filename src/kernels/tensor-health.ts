/** What the values of tensors look like: a reduction over each, read back by whoever watches a run. */
import { MOMENT_BLOCK } from './adamw-8bit.js';
import { type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import type { ElementType } from './element-type.js';
import { ELEMENTS_PER_PART, elementParts } from './parts.js';
import { defaultReduceConstants } from './row-variant.js';
import type { VariantTable } from './variants.js';
import { type RowOperand, rowWindows } from './windows.js';

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
  return calls(variants, { count, first, eps: 0 }, { x: [x, MOMENT_BLOCK] }, { report }, x.type);
}

/** Moments as AdamW keeps them: in f32, or in 8 bits (see `adamw8bit`). */
export type MomentsOf<T> = Readonly<Record<'m' | 'v', T>> | Readonly<Record<'codes' | 'maxima', T>>;

/**
 * The same of what AdamW moves a parameter by, over the learning rate and without decay; `health` is gradient_norm's.
 */
export function updateHealth(
  variants: VariantTable,
  count: number,
  first: number,
  eps: number,
  { health, report, moments }: Record<'health' | 'report', Operand> & { readonly moments: MomentsOf<Operand> },
): KernelCall[] {
  const tensors: Record<string, RowOperand> =
    'codes' in moments
      ? { codes: [moments.codes, 2 * MOMENT_BLOCK], maxima: [moments.maxima, 2] }
      : { m: [moments.m, MOMENT_BLOCK], v: [moments.v, MOMENT_BLOCK] };
  return calls(variants, { count, first, eps }, tensors, { health, report });
}

/** `tensors` come with their elements a block of moments, at which windows may begin. */
function calls(
  variants: VariantTable,
  { count, first, eps }: Readonly<Record<'count' | 'first' | 'eps', number>>,
  tensors: Readonly<Record<string, RowOperand>>,
  others: Readonly<Record<string, Operand>>,
  type: ElementType = 'f32',
): KernelCall[] {
  const blocks = Math.ceil(count / MOMENT_BLOCK);
  return rowWindows(variants.maxBindingBytes, blocks, tensors, ELEMENTS_PER_PART / MOMENT_BLOCK).map(window => {
    const start = MOMENT_BLOCK * window.start;
    const own = Math.min(MOMENT_BLOCK * window.count, count - start);
    return kernelCall('tensor_health', {
      constants: {
        ...defaultReduceConstants(variants.adapter),
        ELEMENTS: ELEMENTS_PER_PART,
        UPDATE: 'health' in others,
        CODED: 'codes' in tensors,
        X_BFLOAT: type === 'bf16',
        X_HALF: type === 'f16',
        BITS: 'u32',
        VALUE: 'f32',
      },
      operands: { ...window.operands, ...others },
      params: { count: own, first: first + start / ELEMENTS_PER_PART, eps },
      workgroups: linearGrid(healthParts(own)),
    });
  });
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
