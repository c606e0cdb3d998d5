/** The AdamW update of one parameter whose moments are kept in 8 bits, in blocks. */
import type { AdapterDescription } from '../gpu/adapters.js';
import type { AdamwSettings } from './adamw.js';
import { checkIndexable, type KernelCall, kernelCall, linearGrid, type Operand } from './call.js';
import {
  defaultRows,
  gradientConstants,
  type RowVariant,
  reduceConstants,
  valueType,
  vectorConstants,
  vectorOf,
} from './row-variant.js';
import type { VariantTable } from './variants.js';
import { keptIn, type RowOperand, rowWindows } from './windows.js';

/** The elements that share the largest magnitudes of their moments, and those whose codes share a word. */
export const MOMENT_BLOCK = 256;
export const MOMENT_QUAD = 4;
const QUADS = MOMENT_BLOCK / MOMENT_QUAD;

/** The shape of the codes of `count` elements: for each four of them their codes of m, then those of v. */
export const codesShape = (count: number): readonly number[] => [Math.ceil(count / MOMENT_QUAD), 2, MOMENT_QUAD];
/** The shape of their blocks' largest |m| and v. */
export const maximaShape = (count: number): readonly number[] => [Math.ceil(count / MOMENT_BLOCK), 2];

/** The numbers of their elements. */
export const codedSizes = (count: number) => ({
  codes: 2 * MOMENT_QUAD * Math.ceil(count / MOMENT_QUAD),
  maxima: 2 * Math.ceil(count / MOMENT_BLOCK),
});

/**
 * Updates as `adamw` does, with `codes` and `maxima` of the shapes above in the place of m and v. A parameter in bf16
 * is rounded by chance, which `salt` makes another for each tensor. Long tensors are taken window by window.
 */
export function adamw8bit(
  variants: VariantTable,
  count: number,
  { beta1, beta2, eps, weightDecay, rate = 1, kept = 0, staged = false, part }: AdamwSettings,
  operands: Record<'gradient' | 'schedule' | 'health' | 'parameter' | 'codes' | 'maxima', Operand> & {
    half?: Operand | undefined;
  },
  salt = 0,
): KernelCall[] {
  const { gradient, schedule, health, parameter, codes, maxima, half } = operands;
  const { start: begin, whole } = part ?? { start: 0, whole: count };
  checkIndexable('adamw_8bit', whole);
  const vector = vectorOf(MOMENT_QUAD, whole);
  const sharing = blockVariant(variants.adapter);
  const constants = {
    ...reduceConstants(sharing),
    ...vectorConstants(vector),
    ...gradientConstants(gradient),
    QUADS: QUADS / sharing.workgroup,
    PARAMETER_BFLOAT: parameter.type === 'bf16',
    WORDS: vector > 1 ? 'vec2u' : 'u32',
    HALF: half !== undefined,
    HALF_VALUE: valueType('f16', vector),
    STAGED: staged,
  };
  const settings = { beta1, beta2, complement1: 1 - beta1, complement2: 1 - beta2, eps, decay: weightDecay, rate };
  const blocks = {
    gradient: [gradient, MOMENT_BLOCK],
    parameter: [parameter, MOMENT_BLOCK],
    codes: [codes, 2 * MOMENT_BLOCK],
    maxima: [maxima, 2],
    half: half && [half, MOMENT_BLOCK],
  } satisfies Record<string, RowOperand | undefined>;
  return rowWindows(variants.maxBindingBytes, maximaShape(count)[0]!, blocks).map(window => {
    const start = MOMENT_BLOCK * window.start;
    const elements = { start, count: Math.min(MOMENT_BLOCK * window.count, count - start) };
    return kernelCall('adamw_8bit', {
      constants,
      operands: { schedule, health, ...window.operands },
      params: {
        count: elements.count,
        ...settings,
        kept: keptIn({ start: begin + start, count: elements.count }, kept),
        salt,
        first: (begin + start) / MOMENT_QUAD,
      },
      workgroups: linearGrid(window.count),
    });
  });
}

/**
 * How a block is shared out. A GPU has a thread for each four elements; a software adapter one subgroup, so that
 * nothing waits at a barrier.
 */
function blockVariant(adapter: AdapterDescription): RowVariant {
  const { lanes, workgroup, vector } = defaultRows(adapter);
  return lanes > 0 ? { lanes, workgroup, vector } : { lanes: 0, workgroup: QUADS, vector };
}
