/** How a reduction is shared out among the threads of a workgroup (kernels/lib/reduce.wgsl). */
import type { AdapterDescription } from '../gpu/adapters.js';

/** Threads of a workgroup, and whether they are one subgroup. */
export interface RowVariant {
  readonly SINGLE_SUBGROUP: boolean;
  readonly WORKGROUP: number;
}

/** On a software adapter a workgroup is one subgroup, so that nothing waits at a barrier; a GPU wants more threads. */
export function defaultRows(adapter: AdapterDescription): RowVariant {
  if (adapter.kind !== 'hardware' && adapter.subgroupSize >= 4) {
    return { SINGLE_SUBGROUP: true, WORKGROUP: adapter.subgroupSize };
  }
  return { SINGLE_SUBGROUP: false, WORKGROUP: 128 };
}
