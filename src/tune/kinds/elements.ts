/** AdamW, which takes a tensor by elements, to be tuned. */
import { adamwCase } from '../../cases/adamw.js';
import { defaultElements } from '../../kernels/row-variant.js';
import { isSoftware, oddSize, product, type TunedKind } from '../kind.js';

export const elements: TunedKind<'elements'> = {
  shipped: defaultElements,

  variants: adapter =>
    isSoftware(adapter)
      ? product({ workgroup: [Math.max(4, adapter.subgroupSize), 64], each: [4, 16, 64], vector: [1, 4] })
      : product({ workgroup: [64, 128, 256], each: [1, 2, 4], vector: [1, 4] }),

  needs: (_, { workgroup, vector }) => ({ threads: workgroup, workgroupBytes: 0, sums: vector, unrolled: vector }),

  caseOf: ({ count, type }) => adamwCase({ count, isHalf: type === 'f16' }),

  small: ({ kernel, count, type }) => ({ kernel, count: oddSize(count, 20_000), type }),
};
