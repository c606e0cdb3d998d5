/** RMSNorm and cross-entropy, which take a tensor by rows, to be tuned. */
import { z } from 'zod';
import type { Case } from '../../cases/case.js';
import { crossEntropyCase } from '../../cases/cross-entropy.js';
import { rmsnormBackwardCase, rmsnormForwardCase } from '../../cases/rmsnorm.js';
import { lanesToTry } from '../../kernels/lanes.js';
import type { RowKernel, RowSizes } from '../../kernels/row-variant.js';
import type { StoredType } from '../../numerics/inputs.js';
import { countSchema, isSoftware, oddSize, product, type TunedKind, typeSchema, vectorSchema } from '../kind.js';

/** The cases of training: a norm's gradient comes with that of its weight. */
const CASES: Readonly<Record<RowKernel, (given: RowSizes & { readonly type: StoredType }) => Case>> = {
  rmsnorm_forward: rmsnormForwardCase,
  rmsnorm_backward: rmsnormBackwardCase,
  cross_entropy: crossEntropyCase,
};

export const rows: TunedKind<'rows'> = {
  requestSchema: z.object({
    kernel: z.enum(['rmsnorm_forward', 'rmsnorm_backward', 'cross_entropy']),
    rows: countSchema,
    columns: countSchema,
    type: typeSchema,
  }),
  variantSchema: z.strictObject({ lanes: z.int().nonnegative(), workgroup: countSchema, vector: vectorSchema }),

  variants(adapter) {
    const vectors = [1, 4];
    const bySubgroups = lanesToTry(adapter).flatMap(lanes => {
      const sizes = isSoftware(adapter) ? [lanes, 4 * lanes] : [lanes, 64, 128, 256, 512];
      const workgroups = [...new Set(sizes.filter(size => size >= lanes && size % lanes === 0))];
      return product({ lanes: [lanes], workgroup: workgroups, vector: vectors });
    });
    const inMemory = { lanes: [0], workgroup: isSoftware(adapter) ? [32] : [64, 128, 256, 512], vector: vectors };
    return [...bySubgroups, ...product(inMemory)];
  },

  needs: (_, { lanes, workgroup, vector }) => ({
    threads: workgroup,
    // a word a thread, or a subgroup, for each of the reductions that a kernel may use
    workgroupBytes: lanes === workgroup ? 0 : 8 * (workgroup / Math.max(1, lanes)),
    ...(lanes > 0 && { lanes }),
    sums: vector,
    unrolled: vector,
  }),

  caseOf: ({ kernel, rows, columns, type }) => CASES[kernel]({ rows, columns, type: type as StoredType }),

  small: ({ kernel, columns, type }) => ({ kernel, rows: 5, columns: oddSize(columns, 1100), type }),
};
