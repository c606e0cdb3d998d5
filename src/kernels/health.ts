/** What the values of tensors look like: a reduction over each, read back by whoever watches a run. */
import { f32, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import { defaultReduceHoles } from './row-variant.js';
import type { Holes } from './source.js';
import { rowWindows } from './split.js';
import type { KernelTable } from './table.js';

const ELEMENTS_PER_PART = 16_384;
/** Words of a part's report. */
export const HEALTH_WORDS = 5;
export const healthParts = (count: number): number => Math.ceil(count / ELEMENTS_PER_PART);

/** Reports on a tensor of `count` elements, in parts, into report[5 * first …]. */
export function tensorHealth(
  kernels: KernelTable,
  count: number,
  first: number,
  { x, report }: Record<'x' | 'report', Operand>,
): KernelCall[] {
  return calls(kernels, count, first, [], [x], report, { UPDATE: false }, 0);
}

/** The same of what AdamW moves a parameter by, over the learning rate and without decay; `health` is gradient_norm's. */
export function updateHealth(
  kernels: KernelTable,
  count: number,
  first: number,
  eps: number,
  { health, m, v, report }: Record<'health' | 'm' | 'v' | 'report', Operand>,
): KernelCall[] {
  return calls(kernels, count, first, [health], [m, v], report, { UPDATE: true }, eps);
}

function calls(
  kernels: KernelTable,
  count: number,
  first: number,
  shared: readonly Operand[],
  tensors: readonly Operand[],
  report: Operand,
  holes: Holes,
  eps: number,
): KernelCall[] {
  const elements = tensors.map(tensor => [tensor, 1] as const);
  return rowWindows(kernels.maxBindingBytes, count, elements, ELEMENTS_PER_PART).map(window => {
    const params = [window.count, first + window.start / ELEMENTS_PER_PART, f32(eps)];
    const buffers = [...shared, ...window.operands, report];
    const all = { ...defaultReduceHoles(kernels.adapter), ...holes, ELEMENTS: ELEMENTS_PER_PART };
    return kernelCall('tensor_health', all, buffers, params, linearGrid(healthParts(window.count)));
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
export function readHealth(report: Uint32Array, first: number, count: number): TensorHealth {
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
