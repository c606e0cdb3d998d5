/** The lanes of a subgroup: which sizes kernels take on an adapter, and how a source asks for its own. */
import type { AdapterDescription } from '../gpu/adapters.js';

/** Where the size can be chosen, fewer lanes than this leave most of a GPU's width to other subgroups. */
const FEWEST = 16;

/**
 * The sizes that are worth a try, smallest first: where it can be chosen (AMD 32 and 64, Intel 8, 16 and 32) of 16 on.
 */
export function lanesToTry({ subgroupSizes }: AdapterDescription): readonly number[] {
  if (subgroupSizes.length < 2) return subgroupSizes;
  const wide = subgroupSizes.filter(size => size >= FEWEST);
  return wide.length > 0 ? wide : subgroupSizes.slice(-1);
}

/**
 * The size that shipped variants take, 0 where subgroups cannot be relied on. Of several it is the smallest: AMD runs
 * 32 lanes at a time since RDNA, and each of them takes one row or column of its matrices.
 */
export const defaultLanes = (adapter: AdapterDescription): number => lanesToTry(adapter)[0] ?? 0;

/**
 * The source that an adapter compiles: where the size can be chosen, one that asks for `lanes`. Lines keep their
 * numbers.
 */
export function withLanes({ subgroupSizes }: AdapterDescription, source: string, lanes: number | undefined): string {
  if (lanes === undefined || subgroupSizes.length < 2) return source;
  return `enable subgroup_size_control; ${source.replace('@compute', `@compute @subgroup_size(${lanes})`)}`;
}
